// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Package attempt holds operations that tests try inside and outside of a
// confinement, to compare what the kernel answers.
package attempt

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/seccomp"
)

// OK is the answer to an operation that was admitted.
const OK = "OK"

// Op is an operation and what it is applied to.
type Op struct {
	Name string   `json:"name"`
	Args []string `json:"args,omitempty"`
}

// New makes an Op.
func New(name string, args ...string) Op { return Op{Name: name, Args: args} }

// String prints the operation as a command line.
func (op Op) String() string { return strings.Join(append([]string{op.Name}, op.Args...), " ") }

// Do tries the operation. The answer is OK, or the name of the error number
// that the kernel refused it with.
func (op Op) Do() string {
	do, ok := operations[op.Name]
	if !ok {
		return fmt.Sprintf("unknown operation %q", op.Name)
	}
	if len(op.Args) != do.args {
		return fmt.Sprintf("%s takes %d arguments, not %q", op.Name, do.args, op.Args)
	}
	err := do.run(op.Args)
	var errno syscall.Errno
	switch {
	case err == nil:
		return OK
	case errors.As(err, &errno):
		return unix.ErrnoName(errno)
	}
	return err.Error()
}

// Names are the names of all operations, sorted.
func Names() []string {
	var names []string
	for name := range operations {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

type operation struct {
	args int
	run  func(args []string) error
}

var operations = map[string]operation{
	"read":     {1, func(a []string) error { return open(a[0], unix.O_RDONLY) }},
	"list":     {1, func(a []string) error { return open(a[0], unix.O_RDONLY|unix.O_DIRECTORY) }},
	"write":    {1, func(a []string) error { return open(a[0], unix.O_WRONLY) }},
	"append":   {1, func(a []string) error { return open(a[0], unix.O_WRONLY|unix.O_APPEND) }},
	"create":   {1, func(a []string) error { return open(a[0], unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL) }},
	"truncate": {1, func(a []string) error { return unix.Truncate(a[0], 0) }},
	"stat":     {1, func(a []string) error { var st unix.Stat_t; return unix.Stat(a[0], &st) }},
	"mkdir":    {1, func(a []string) error { return unix.Mkdir(a[0], 0o777) }},
	"rmdir":    {1, func(a []string) error { return unix.Rmdir(a[0]) }},
	"unlink":   {1, func(a []string) error { return unix.Unlink(a[0]) }},
	"symlink":  {1, func(a []string) error { return unix.Symlink("target", a[0]) }},
	"mkfifo":   {1, func(a []string) error { return unix.Mkfifo(a[0], 0o666) }},
	"mknod":    {1, func(a []string) error { return unix.Mknod(a[0], unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))) }},
	"mkblock":  {1, func(a []string) error { return unix.Mknod(a[0], unix.S_IFBLK|0o666, int(unix.Mkdev(7, 0))) }},
	"rename":   {2, func(a []string) error { return unix.Rename(a[0], a[1]) }},
	"link":     {2, func(a []string) error { return unix.Link(a[0], a[1]) }},
	"chmod":    {1, func(a []string) error { return unix.Chmod(a[0], 0o755) }},
	"chroot":   {1, func(a []string) error { return unix.Chroot(a[0]) }},
	"exec":     {1, func(a []string) error { return exec.Command(a[0]).Run() }},
	"ioctl":    {1, ioctl},

	"socket":     {1, newSocket}, // see kinds
	"socketpair": {0, func([]string) error { return socketpair(unix.SOCK_STREAM) }},
	// A pair of datagram sockets can send to any other one by its address.
	"socketpair-dgram": {0, func([]string) error { return socketpair(unix.SOCK_DGRAM) }},
	"sendmsg":          {0, func([]string) error { return throughPair() }},
	"connect": {2, func(a []string) error { // tcp 127.0.0.1:80, unix /path, unix @abstract
		c, err := net.Dial(a[0], a[1])
		if err == nil {
			c.Close()
		}
		return err
	}},
	"listen": {2, func(a []string) error {
		var plain net.ListenConfig
		plain.SetMultipathTCP(false) // Go's default, which Landlock's TCP rights do not cover
		l, err := plain.Listen(context.Background(), a[0], a[1])
		if err == nil {
			l.Close()
		}
		return err
	}},
	"bind": {2, func(a []string) error { // udp 127.0.0.1:53, unixgram /path
		c, err := net.ListenPacket(a[0], a[1])
		if err == nil {
			c.Close()
		}
		return err
	}},
	"sendto":    {1, func(a []string) error { return sendTo(a[0], unix.SOCK_DGRAM, 0) }},                  // UDP, not connected
	"fast-open": {1, func(a []string) error { return sendTo(a[0], unix.SOCK_STREAM, unix.MSG_FASTOPEN) }}, // TCP without connect(2)
	"autobind":  {0, func([]string) error { return listenUnbound() }},                                     // TCP without bind(2)
	"signal": {1, func(a []string) error { // is the process there, and may it be signaled?
		var pid int
		if _, err := fmt.Sscan(a[0], &pid); err != nil {
			return err
		}
		return unix.Kill(pid, 0)
	}},
	"no_new_privs": {0, func([]string) error { // is it set?
		set, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)
		if err == nil && set != 1 {
			err = unix.ENODATA
		}
		return err
	}},
	"seize": {1, func(a []string) error { // ptrace a process, without stopping it
		pid, err := strconv.Atoi(a[0])
		if err != nil {
			return err
		}
		return unix.PtraceSeize(pid)
	}},
	"every-socket": {0, func([]string) error { return everySocket() }},
	"syscall":      {1, rawSyscall},
	"call":         {2, call}, // clone 0x10000000,0: a system call with these arguments, then zeros
	"fastopen": {1, func(a []string) error { // 127.0.0.1:80: TCP Fast Open connects by sending
		addr, err := netip.ParseAddrPort(a[0])
		if err != nil {
			return err
		}
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return unix.Sendto(fd, []byte("x"), unix.MSG_FASTOPEN, &unix.SockaddrInet4{Port: int(addr.Port()), Addr: addr.Addr().As4()})
	}},
}

func open(path string, flags int) error {
	fd, err := unix.Open(path, flags|unix.O_CLOEXEC|unix.O_NONBLOCK, 0o644)
	if err == nil {
		unix.Close(fd)
	}
	return err
}

func ioctl(a []string) error {
	f, err := os.OpenFile(a[0], os.O_RDWR|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err
}

func socketpair(kind int) error {
	fds, err := unix.Socketpair(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		unix.Close(fds[0])
		unix.Close(fds[1])
	}
	return err
}

// throughPair sends a message through a pair of sockets.
func throughPair() error {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fds[0])
	defer unix.Close(fds[1])
	if err := unix.Sendmsg(fds[0], []byte("x"), nil, nil, 0); err != nil {
		return err
	}
	_, _, _, _, err = unix.Recvmsg(fds[1], make([]byte, 1), nil, 0)
	return err
}

// sendTo sends from a new IPv4 socket to an address that it is not connected to.
func sendTo(address string, kind, flags int) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_INET, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Sendto(fd, []byte("x"), flags, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()})
}

func listenUnbound() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Listen(fd, 1)
}

var kinds = map[string][3]int{
	"tcp":       {unix.AF_INET, unix.SOCK_STREAM, 0},
	"tcp6":      {unix.AF_INET6, unix.SOCK_STREAM, unix.IPPROTO_TCP},
	"mptcp":     {unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_MPTCP},
	"sctp":      {unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_SCTP},
	"udp":       {unix.AF_INET, unix.SOCK_DGRAM, 0},
	"udp6":      {unix.AF_INET6, unix.SOCK_DGRAM, unix.IPPROTO_UDP},
	"ping":      {unix.AF_INET, unix.SOCK_DGRAM, unix.IPPROTO_ICMP},
	"unix":      {unix.AF_UNIX, unix.SOCK_STREAM, 0},
	"unixgram":  {unix.AF_UNIX, unix.SOCK_DGRAM, 0},
	"raw":       {unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP},
	"netlink":   {unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE},
	"packet":    {unix.AF_PACKET, unix.SOCK_RAW, 0},
	"vsock":     {unix.AF_VSOCK, unix.SOCK_STREAM, 0},
	"alg":       {unix.AF_ALG, unix.SOCK_SEQPACKET, 0},
	"bluetooth": {unix.AF_BLUETOOTH, unix.SOCK_RAW, 0},
}

func newSocket(a []string) error {
	kind, ok := kinds[a[0]]
	if !ok {
		return fmt.Errorf("unknown kind of socket %q", a[0])
	}
	fd, err := unix.Socket(kind[0], kind[1]|unix.SOCK_CLOEXEC, kind[2])
	if err == nil {
		unix.Close(fd)
	}
	return err
}

// rawSyscall makes a system call whose arguments are all -1, which none of
// those that tests use can do anything with.
func rawSyscall(a []string) error {
	const bad = ^uintptr(0)
	return syscallByName(a[0], [6]uintptr{bad, bad, bad, bad, bad, bad})
}

func call(a []string) error {
	var args [6]uintptr
	for i, field := range strings.Split(a[1], ",") {
		n, err := strconv.ParseUint(field, 0, 64)
		if err != nil || i >= len(args) {
			return fmt.Errorf("the arguments %q: %w", a[1], err)
		}
		args[i] = uintptr(n)
	}
	return syscallByName(a[0], args)
}

// syscallByName makes a system call by its name, or its number.
func syscallByName(name string, args [6]uintptr) error {
	arch, err := seccomp.Native()
	if err != nil {
		return err
	}
	number, ok := arch.Number(name)
	if n, err := strconv.ParseUint(name, 0, 32); err == nil {
		number, ok = uint32(n), true
	}
	if !ok {
		return unix.ENOSYS
	}
	_, _, errno := unix.Syscall6(uintptr(number), args[0], args[1], args[2], args[3], args[4], args[5])
	if errno != 0 {
		return errno
	}
	return nil
}
