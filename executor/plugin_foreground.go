// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package executor

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// StartForeground is [Start] for a task in the foreground: the files are its
// descriptors 0, 1 and 2, and it ends with this process, however that ends. The
// plan must have Foreground set.
func StartForeground(id, dir string, plan *Plan, std [3]*os.File) (*Task, error) {
	for fd, f := range std {
		// A rule lets a program open its descriptors again: for a directory, that
		// would be all that is in it.
		if info, err := f.Stat(); err != nil || info.IsDir() {
			return nil, fmt.Errorf("descriptor %d is a directory, or cannot be looked at (%w): redirect it from or to a file", fd, errors.Join(err, unix.EISDIR))
		}
	}
	return startTask(id, dir, plan, std)
}

// watchLifeline kills the task when whoever has started it has gone: the other end of
// the pipe is closed then.
func watchLifeline(lifeline *os.File) {
	_, _ = io.Copy(io.Discard, lifeline)
	signalAll(unix.SIGKILL)
}

// foregroundStdio are the descriptors of who has started it: they are none of the task's
// user, and stay as they are.
func foregroundStdio() stdio {
	return stdio{os.NewFile(0, "stdin"), os.NewFile(stdoutFD, "stdout"), os.NewFile(stderrFD, "stderr")}
}

// userNamespaceCapabilities are what a supervisor needs in a user namespace of
// its own: to mount, to empty the bounding set, and to signal.
var userNamespaceCapabilities = []uintptr{unix.CAP_SYS_ADMIN, unix.CAP_SETPCAP, unix.CAP_KILL}

// ownUserNamespace maps the caller's user and group, and no other, to
// themselves in a new user namespace. Exec would clear the capabilities of a
// user that is not root there, but for the ambient ones.
func ownUserNamespace(sys *syscall.SysProcAttr) {
	uid, gid := os.Geteuid(), os.Getegid()
	sys.UidMappings = []syscall.SysProcIDMap{{ContainerID: uid, HostID: uid, Size: 1}}
	sys.GidMappings = []syscall.SysProcIDMap{{ContainerID: gid, HostID: gid, Size: 1}}
	sys.AmbientCaps = userNamespaceCapabilities
}

// permitted are the capabilities that this process may have.
func permitted() (uint64, error) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return 0, fmt.Errorf("reading the capabilities: %w", err)
	}
	return uint64(data[0].Permitted) | uint64(data[1].Permitted)<<32, nil
}

// namespacesProbe is the argument of a probe that tries user namespaces.
const namespacesProbe = "namespaces"

// ProbeUserNamespace returns why an unprivileged user cannot have a task with a
// root and processes of its own here, nil if that works. It tries it, by the
// functions that a supervisor uses.
func ProbeUserNamespace() error {
	isolation := Isolation{UserNamespace: true, Network: Network{Isolated: true}}
	reason, err := askProbe(namespacesProbe, isolation.namespaces())
	if err != nil {
		return fmt.Errorf("making a user namespace: %w", err)
	}
	if string(reason) != namespacesWork {
		return errors.New(string(reason))
	}
	return nil
}

// namespacesWork is what a probe says that has found nothing wrong.
const namespacesWork = "ok"

// probeNamespaces makes a view with each kind of mount.
func probeNamespaces() int {
	said := namespacesWork
	if err := makeView(Isolation{UserNamespace: true, PrivateRoot: true, Mounts: []Mount{
		{Type: Tmpfs, Target: "/dev", Create: true, ReadOnly: true, Devices: true},
		{Type: Device, Source: os.DevNull, Target: os.DevNull, Create: true},
		{Type: Devpts, Target: "/dev/pts", Create: true},
		{Type: Bind, Source: "/etc", Target: "/etc", Create: true, ReadOnly: true},
		{Type: Proc, Target: "/proc", Create: true},
	}}, nil); err != nil {
		said = err.Error()
	}
	_, _ = os.Stdout.WriteString(said)
	return 0
}
