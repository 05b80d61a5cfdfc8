// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package landlock

import (
	"fmt"
	"math/bits"
	"strings"

	"golang.org/x/sys/unix"
)

// AccessFS is a set of access rights to files and directories, the
// LANDLOCK_ACCESS_FS_* bits of linux/landlock.h.
type AccessFS uint64

// The access rights to files and directories, in the kernel's order.
const (
	Execute     AccessFS = unix.LANDLOCK_ACCESS_FS_EXECUTE
	WriteFile   AccessFS = unix.LANDLOCK_ACCESS_FS_WRITE_FILE
	ReadFile    AccessFS = unix.LANDLOCK_ACCESS_FS_READ_FILE
	ReadDir     AccessFS = unix.LANDLOCK_ACCESS_FS_READ_DIR
	RemoveDir   AccessFS = unix.LANDLOCK_ACCESS_FS_REMOVE_DIR
	RemoveFile  AccessFS = unix.LANDLOCK_ACCESS_FS_REMOVE_FILE
	MakeChar    AccessFS = unix.LANDLOCK_ACCESS_FS_MAKE_CHAR
	MakeDir     AccessFS = unix.LANDLOCK_ACCESS_FS_MAKE_DIR
	MakeReg     AccessFS = unix.LANDLOCK_ACCESS_FS_MAKE_REG
	MakeSock    AccessFS = unix.LANDLOCK_ACCESS_FS_MAKE_SOCK
	MakeFifo    AccessFS = unix.LANDLOCK_ACCESS_FS_MAKE_FIFO
	MakeBlock   AccessFS = unix.LANDLOCK_ACCESS_FS_MAKE_BLOCK
	MakeSym     AccessFS = unix.LANDLOCK_ACCESS_FS_MAKE_SYM
	Refer       AccessFS = unix.LANDLOCK_ACCESS_FS_REFER
	Truncate    AccessFS = unix.LANDLOCK_ACCESS_FS_TRUNCATE
	IoctlDev    AccessFS = unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	ResolveUnix AccessFS = unix.LANDLOCK_ACCESS_FS_RESOLVE_UNIX
)

// FileRights are the rights that mean something for a file. A rule on a file
// with any other right is refused by the kernel with EINVAL.
const FileRights = Execute | WriteFile | ReadFile | Truncate | IoctlDev | ResolveUnix

var accessFSNames = []string{
	"execute", "write_file", "read_file", "read_dir", "remove_dir", "remove_file",
	"make_char", "make_dir", "make_reg", "make_sock", "make_fifo", "make_block",
	"make_sym", "refer", "truncate", "ioctl_dev", "resolve_unix",
}

// AccessNet is a set of access rights to network ports, the
// LANDLOCK_ACCESS_NET_* bits of linux/landlock.h.
type AccessNet uint64

// The access rights to network ports, in the kernel's order.
const (
	BindTCP    AccessNet = unix.LANDLOCK_ACCESS_NET_BIND_TCP
	ConnectTCP AccessNet = unix.LANDLOCK_ACCESS_NET_CONNECT_TCP
	// BindUDP is also asked for where the kernel gives a socket an ephemeral
	// port by itself, for its first datagram or its connect(2): as port 0.
	BindUDP        AccessNet = unix.LANDLOCK_ACCESS_NET_BIND_UDP
	ConnectSendUDP AccessNet = unix.LANDLOCK_ACCESS_NET_CONNECT_SEND_UDP
)

var accessNetNames = []string{"bind_tcp", "connect_tcp", "bind_udp", "connect_send_udp"}

// Scope is a set of resources that a domain shares with nobody outside of it,
// the LANDLOCK_SCOPE_* bits of linux/landlock.h.
type Scope uint64

// The scopes, in the kernel's order.
const (
	ScopeAbstractUnixSocket Scope = unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET
	ScopeSignal             Scope = unix.LANDLOCK_SCOPE_SIGNAL
)

var scopeNames = []string{"abstract_unix_socket", "signal"}

// String prints the set as the kernel's audit records name the rights:
// {read_file,read_dir}.
func (a AccessFS) String() string { return setString(uint64(a), accessFSNames) }

// String prints the set: {bind_tcp,connect_tcp}.
func (a AccessNet) String() string { return setString(uint64(a), accessNetNames) }

// String prints the set: {abstract_unix_socket,signal}.
func (s Scope) String() string { return setString(uint64(s), scopeNames) }

// MarshalText encodes the set as its comma separated names.
func (a AccessFS) MarshalText() ([]byte, error) { return setText(uint64(a), accessFSNames), nil }

// MarshalText encodes the set as its comma separated names.
func (a AccessNet) MarshalText() ([]byte, error) { return setText(uint64(a), accessNetNames), nil }

// MarshalText encodes the set as its comma separated names.
func (s Scope) MarshalText() ([]byte, error) { return setText(uint64(s), scopeNames), nil }

// UnmarshalText decodes what MarshalText wrote. An unknown name is an error.
func (a *AccessFS) UnmarshalText(text []byte) error {
	return parseSet((*uint64)(a), text, "file system access right", accessFSNames)
}

// UnmarshalText decodes what MarshalText wrote. An unknown name is an error.
func (a *AccessNet) UnmarshalText(text []byte) error {
	return parseSet((*uint64)(a), text, "network access right", accessNetNames)
}

// UnmarshalText decodes what MarshalText wrote. An unknown name is an error.
func (s *Scope) UnmarshalText(text []byte) error {
	return parseSet((*uint64)(s), text, "scope", scopeNames)
}

func setString(set uint64, names []string) string {
	return "{" + string(setText(set, names)) + "}"
}

// setText names bits that have no name by their value, so that nothing of a
// set is lost in a message.
func setText(set uint64, names []string) []byte {
	var out []byte
	for rest := set; rest != 0; rest &= rest - 1 {
		if len(out) > 0 {
			out = append(out, ',')
		}
		if bit := bits.TrailingZeros64(rest); bit < len(names) {
			out = append(out, names[bit]...)
		} else {
			out = fmt.Appendf(out, "%#x", uint64(1)<<bit)
		}
	}
	return out
}

func parseSet(set *uint64, text []byte, kind string, names []string) error {
	*set = 0
	if len(text) == 0 {
		return nil
	}
next:
	for name := range strings.SplitSeq(string(text), ",") {
		for bit, known := range names {
			if name == known {
				*set |= 1 << bit
				continue next
			}
		}
		return fmt.Errorf("landlock: unknown %s %q, expected one of %s", kind, name, strings.Join(names, ", "))
	}
	return nil
}
