// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package landlock

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// ABI is a version of the kernel's Landlock interface. 0 means that there is
// no Landlock.
type ABI int

// Rights are all access rights and scopes that a kernel can handle, and the
// flags that [Enter] can give it.
type Rights struct {
	FS    AccessFS
	Net   AccessNet
	Scope Scope
	Flags Flags
}

// abis has one row for each ABI: what it added to the one before. To support
// a new ABI, add its row (and the names of its rights in access.go).
var abis = []Rights{
	0: {},
	1: {FS: Execute | WriteFile | ReadFile | ReadDir | RemoveDir | RemoveFile |
		MakeChar | MakeDir | MakeReg | MakeSock | MakeFifo | MakeBlock | MakeSym},
	2: {FS: Refer},
	3: {FS: Truncate},
	4: {Net: BindTCP | ConnectTCP},
	5: {FS: IoctlDev},
	6: {Scope: ScopeAbstractUnixSocket | ScopeSignal},
	7: {Flags: LogSameExecOff | LogNewExecOn | LogSubdomainsOff},
	8: {Flags: AllThreads},
	9: {FS: ResolveUnix},
	// ABI 10 also has rules and rights whose denials are not logged ("quiet").
	// They restrict nothing, and this package has no use for them.
	10: {Net: BindUDP | ConnectSendUDP},
	11: {Flags: NoNewPrivs},
}

// Feature is something that a kernel can restrict, or do, since an ABI.
type Feature struct {
	Name  string // short, in terms of landlock(7)
	What  string
	Since ABI
	Linux string // the first version with it
}

// Features are those of all ABIs that a policy can make use of.
var Features = []Feature{
	{"fs", "files", 1, "5.13"},
	{"refer", "renames between directories", 2, "5.19"},
	{"truncate", "truncation", 3, "6.2"},
	{"net", "TCP ports", 4, "6.7"},
	{"ioctl_dev", "ioctl on devices", 5, "6.10"},
	{"scope", "signals, abstract sockets", 6, "6.12"},
	{"audit", "audit", 7, "6.15"},
	{"unix", "UNIX sockets by path", 9, "7.1"},
	{"udp", "UDP ports", 10, "7.2"},
}

// NewestABI is the newest ABI that this package knows. A kernel with a newer
// one is used like this one: its interface is compatible, and rights that are
// not handled are not restricted.
func NewestABI() ABI { return ABI(len(abis) - 1) }

// Rights returns what a kernel with this ABI can handle.
func (a ABI) Rights() Rights {
	var all Rights
	for _, added := range abis[:min(max(a, 0), NewestABI())+1] {
		all.FS |= added.FS
		all.Net |= added.Net
		all.Scope |= added.Scope
		all.Flags |= added.Flags
	}
	return all
}

// What Detect returns with ABI 0.
var (
	// ErrNotBuilt: the kernel has no Landlock (ENOSYS).
	ErrNotBuilt = errors.New("this kernel is built without Landlock: Linux 5.13 or newer with CONFIG_SECURITY_LANDLOCK=y is needed")
	// ErrDisabled: the kernel has Landlock, but it was not enabled at boot (EOPNOTSUPP).
	ErrDisabled = errors.New(`Landlock is disabled: add "landlock" to the kernel's lsm= boot parameter (now in /sys/kernel/security/lsm)`)
)

// Detect asks the kernel for its Landlock ABI (landlock_create_ruleset(2) with
// LANDLOCK_CREATE_RULESET_VERSION). With ABI 0 it returns why: [ErrNotBuilt],
// [ErrDisabled], or the kernel's error.
func Detect() (ABI, error) {
	v, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	switch errno {
	case 0:
		return ABI(v), nil
	case unix.ENOSYS:
		return 0, ErrNotBuilt
	case unix.EOPNOTSUPP:
		return 0, ErrDisabled
	}
	return 0, fmt.Errorf("landlock: landlock_create_ruleset(2) for the ABI version: %w", errno)
}
