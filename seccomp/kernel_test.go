// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package seccomp_test

import (
	"net"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/internal/attempt"
	"github.com/burin-labs/nomad-driver-harn/internal/kerneltest"
	"github.com/burin-labs/nomad-driver-harn/landlock"
	. "github.com/burin-labs/nomad-driver-harn/seccomp"
)

func TestMain(m *testing.M) { kerneltest.Main(m) }

// Every call of the groups answers as its group says under its filter, and
// something else (its arguments are no good) without.
func TestKernelDeniesTheGroups(t *testing.T) {
	kerneltest.Seccomp(t)
	kerneltest.Root(t) // unprivileged, most of them answer EPERM anyway
	arch, err := Native()
	if err != nil {
		t.Fatal(err)
	}
	for _, group := range Groups {
		var ops []attempt.Op
		var want []string
		for _, e := range group.Entries {
			if len(e.Admit) > 0 {
				continue // see TestKernelLooksAtArguments
			}
			if _, has := arch.Number(e.Syscall); !has {
				continue // as iopl, on any but amd64
			}
			ops = append(ops, attempt.New("syscall", e.Syscall))
			errno := unix.EPERM
			if e.Errno != 0 {
				errno = e.Errno
			}
			want = append(want, unix.ErrnoName(errno))
		}
		open := kerneltest.Try(t, kerneltest.Confinement{}, ops...)
		closed := kerneltest.Try(t, kerneltest.Confinement{Filter: Combine(group)}, ops...)
		for i, op := range ops {
			if closed[i] != want[i] {
				t.Errorf("%s: %v under the filter: %s, want %s", group.Name, op, closed[i], want[i])
			}
			if open[i] == want[i] && open[i] != "ENOSYS" { // this kernel does not have it
				t.Errorf("%s: %v without the filter: %s, which shows nothing", group.Name, op, open[i])
			}
		}
	}
}

// Calls whose arguments decide: what is denied, and a sibling that is admitted.
// "without" is the kernel's own answer; arguments that it refuses are used where
// success would change this process.
func TestKernelLooksAtArguments(t *testing.T) {
	kerneltest.Seccomp(t)
	kerneltest.Root(t) // for raw and packet sockets
	call := func(name, args string) attempt.Op { return attempt.New("call", name, args) }
	const (
		inet, stream, dgram = "2", "1", "2"
		high                = "0x1"
	)
	for _, tc := range []struct {
		group         *Group
		op            attempt.Op
		without, with string
	}{
		{Hardened, call("clone", "0x10000800"), "EINVAL", "EPERM"}, // NEWUSER, and SIGHAND without VM
		{Hardened, call("clone", "0x110000800"), "EINVAL", "EPERM"},
		{Hardened, call("clone", "0x00000800"), "EINVAL", "EINVAL"},
		{Hardened, attempt.New("exec", "/bin/true"), "OK", "OK"},
		{Hardened, call("unshare", "0x10008000"), "EINVAL", "EPERM"}, // NEWUSER, and no flag
		{Hardened, call("unshare", "0x200"), "OK", "OK"},             // FS
		{Always, call("ioctl", "0xffffffff,0x5412"), "EBADF", "EPERM"},
		{Always, call("ioctl", "0xffffffff,"+high+"00005412"), "EBADF", "EPERM"},
		{Always, call("ioctl", "0xffffffff,0x541c"), "EBADF", "EPERM"},
		{Always, call("ioctl", "0xffffffff,0x5401"), "EBADF", "EBADF"},
		{Hardened, call("personality", "0x0040000"), "OK", "EPERM"},
		{Hardened, call("personality", "0xffffffff"), "OK", "OK"},
		{Hardened, call("move_pages", "0x7fffffff"), "ESRCH", "EPERM"},
		{Hardened, call("move_pages", "0"), "OK", "OK"},
		{Hardened, call("500", "0"), "ENOSYS", "ENOSYS"},
		{Always, call("ioctl", "0xffffffff,0x8940"), "EBADF", "EPERM"}, // SIOCGIFBR
		{Always, call("ioctl", "0xffffffff,"+high+"00008982"), "EBADF", "EPERM"},
		{Always, call("ioctl", "0xffffffff,0x8912"), "EBADF", "EBADF"},     // SIOCGIFCONF
		{Always, call("ioctl", "0xffffffff,0x5000940e"), "EBADF", "EPERM"}, // BTRFS_IOC_SUBVOL_CREATE
		{Always, call("ioctl", "0xffffffff,0x40049409"), "EBADF", "EBADF"}, // FICLONE
		{Always, call("prlimit64", "0x7fffffff,0,1"), "EFAULT", "EPERM"},   // new limits for another process
		{Always, call("prlimit64", "0x7fffffff,0,"+high+"00000000"), "EFAULT", "EPERM"},
		{Always, call("prlimit64", "0x7fffffff,0,0"), "ESRCH", "ESRCH"}, // it asks
		{Always, call("prlimit64", "0,99,1"), "EFAULT", "EFAULT"},       // its own
		{Always, call("prlimit64", high+"00000000,99,1"), "EFAULT", "EFAULT"},
		{Families, attempt.New("socketpair"), "OK", "OK"},
		{Families, call("socketpair", "2,1,0,0"), "EFAULT", "EAFNOSUPPORT"},
		{Families, call("socket", "45,1,0"), "EAFNOSUPPORT", "EAFNOSUPPORT"}, // no such family
		{Families, attempt.New("socket", "packet"), "OK", "OK"},
		{Families, attempt.New("socket", "tcp"), "OK", "OK"},
		{Families, attempt.New("socket", "tcp6"), "OK", "OK"},
		{Families, attempt.New("socket", "udp"), "OK", "OK"},
		{Families, attempt.New("socket", "ping"), "", "same"},
		{Families, attempt.New("socket", "mptcp"), "", "EPROTONOSUPPORT"},
		{Families, call("socket", "0x100000002,0x80801,262"), "", "EPROTONOSUPPORT"},
		{Families, call("socket", "2,2,136"), "", "EPROTONOSUPPORT"}, // UDP-Lite
		{Families, call("socket", "2,5,0"), "", "ESOCKTNOSUPPORT"},
		{Families, call("socket", inet+",10,3"), "OK", "ESOCKTNOSUPPORT"}, // packet by its old name
		{Families, attempt.New("socket", "raw"), "OK", "OK"},
		{Families, call("setsockopt", "0xffffffff,6,31"), "EBADF", "ENOPROTOOPT"},                    // TCP_ULP
		{Families, call("setsockopt", "0xffffffff,0x100000006,0x10000001f"), "EBADF", "ENOPROTOOPT"}, // as the kernel sees it
		{Families, call("setsockopt", "0xffffffff,6,38"), "EBADF", "ENOPROTOOPT"},                    // TCP_AO_ADD_KEY
		{Families, call("setsockopt", "0xffffffff,6,1"), "EBADF", "EBADF"},                           // TCP_NODELAY
		{Families, call("setsockopt", "0xffffffff,1,31"), "EBADF", "EBADF"},                          // of the socket itself
		{TCPOnly, call("setsockopt", "0xffffffff,6,31"), "EBADF", "ENOPROTOOPT"},
		{NoRaw, attempt.New("socket", "raw"), "OK", "EPERM"},
		{NoRaw, attempt.New("socket", "packet"), "OK", "EPERM"},
		{NoRaw, attempt.New("socket", "udp"), "OK", "OK"},
		{NoRaw, attempt.New("socket", "netlink"), "OK", "OK"},
		{RoutesOnly, call("socket", "16,3,4"), "OK", "EPROTONOSUPPORT"}, // NETLINK_SOCK_DIAG
		{RoutesOnly, call("socket", "0x100000010,0x80002,15"), "OK", "EPROTONOSUPPORT"},
		{RoutesOnly, attempt.New("socket", "netlink"), "OK", "OK"},
		{TCPOnly, attempt.New("socket", "tcp"), "OK", "OK"},
		{TCPOnly, attempt.New("socket", "unix"), "OK", "OK"},
		{TCPOnly, attempt.New("socket", "netlink"), "OK", "OK"},
		{TCPOnly, attempt.New("socket", "udp"), "OK", "EPERM"},
		{TCPOnly, attempt.New("socket", "raw"), "OK", "EPERM"},
		{TCPOnly, attempt.New("socket", "packet"), "OK", "EPERM"},
		{TCPOnly, call("sendto", "0xffffffff,0,0,0x20000000"), "EBADF", "EPERM"},
		{TCPOnly, call("sendto", "0xffffffff,0,0,0x4000"), "EBADF", "EBADF"},
		{TCPOnly, call("sendmsg", "0xffffffff,0,0x20000000"), "EBADF", "EPERM"},
		{TCPOnly, call("sendmsg", "0xffffffff,0,0x4000"), "EBADF", "EBADF"},
		{TCPOnly, call("sendmmsg", "0xffffffff,0,1,0x20000000"), "EBADF", "EPERM"},
		{TCPOnly, call("sendmmsg", "0xffffffff,0,1,0x4000"), "EBADF", "EBADF"},
		{UnixOnly, attempt.New("socket", "unix"), "OK", "OK"},
		{UnixOnly, attempt.New("socket", "tcp"), "OK", "EPERM"},
		{UnixOnly, attempt.New("socket", "netlink"), "OK", "EPERM"},
		{UnixOnly, attempt.New("socketpair"), "OK", "OK"},
		{UnixOnly, call("socketpair", "2,1,0,0"), "EFAULT", "EPERM"},
		{LocalIPC, attempt.New("socketpair"), "OK", "OK"},
		{LocalIPC, call("socketpair", "1,"+dgram+",0,0"), "EFAULT", "EPERM"},
		{LocalIPC, call("socketpair", "1,"+stream+",0,0"), "EFAULT", "EFAULT"},
		{LocalIPC, call("sendto", "0xffffffff,0,0,0"), "EBADF", "EBADF"},
		{LocalIPC, attempt.New("socket", "unix"), "OK", "EPERM"},
	} {
		// "" stands for an answer that depends on what the kernel was built with, and
		// "same" for that one.
		switch got := kerneltest.Try(t, kerneltest.Confinement{}, tc.op)[0]; {
		case tc.with == "same":
			tc.with = got
		case tc.without != "" && got != tc.without:
			t.Errorf("%v without a filter: %s, want %s", tc.op, got, tc.without)
		}
		if got := kerneltest.Try(t, kerneltest.Confinement{Filter: Combine(tc.group)}, tc.op)[0]; got != tc.with {
			t.Errorf("%v under %s: %s, want %s", tc.op, tc.group.Name, got, tc.with)
		}
	}
}

// Of all families, types and protocols of sockets, whatever the bits that the kernel
// does not look at: those that are admitted are the ones that this list names. Which
// of them there are is the kernel's to say: it may have been built without IPv6, and
// may keep ping to a group.
func TestNoOtherSockets(t *testing.T) {
	kerneltest.Seccomp(t)
	kerneltest.Root(t) // for raw and packet sockets
	unixSockets := []string{"1/1: 0 1", "1/2: 0 1", "1/3: 0 1", "1/5: 0 1"}
	internet := []string{"2/1: 0 6", "2/2: 0 1 17", "2/2: 0 17", "10/1: 0 6", "10/2: 0 17 58", "10/2: 0 17"}
	routes := []string{"16/2: 0", "16/3: 0"}
	for name, tc := range map[string]struct {
		groups []*Group
		uid    int
		want   []string
	}{
		"a network":               {[]*Group{Families, RoutesOnly, NoRaw}, 0, slices.Concat(unixSockets, internet, routes)},
		"a network, without root": {[]*Group{Families, RoutesOnly, NoRaw}, 65534, slices.Concat(unixSockets, internet, routes)},
		"TCP ports":               {[]*Group{TCPOnly}, 0, slices.Concat(unixSockets, []string{"2/1: 0 6", "10/1: 0 6"}, routes)},
		"UNIX sockets":            {[]*Group{UnixOnly}, 0, unixSockets},
		"pairs of sockets":        {[]*Group{LocalIPC}, 0, nil},
		"no network and no pairs": {[]*Group{Network}, 0, nil},
	} {
		answer := kerneltest.Try(t, kerneltest.Confinement{Filter: Combine(tc.groups...), UID: tc.uid}, attempt.New("every-socket"))[0]
		var got []string
		if answer != "" {
			got = strings.Split(answer, "; ")
		}
		for _, sockets := range got {
			if !slices.Contains(tc.want, sockets) {
				t.Errorf("%s: %s was admitted, expected at most %q", name, sockets, tc.want)
			}
		}
		if least := len(tc.want); least > 0 && !slices.Contains(got, "1/1: 0 1") {
			t.Errorf("%s: no UNIX sockets: %q", name, got)
		} else if least > len(unixSockets) && !slices.Contains(got, "2/1: 0 6") {
			t.Errorf("%s: no TCP: %q", name, got)
		}
	}
}

// TCP Fast Open connects without connect(2), which is all that Landlock's rules
// for ports see. Without the filter, the first of the two gets through.
func TestFastOpenDoesNotPassRulesForPorts(t *testing.T) {
	kerneltest.Seccomp(t)
	kerneltest.Landlock(t, 4)
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ops := []attempt.Op{attempt.New("fastopen", l.Addr().String()), attempt.New("connect", "tcp", l.Addr().String())}
	try := func(c kerneltest.Confinement) string { return strings.Join(kerneltest.Try(t, c, ops...), " ") }
	ports := &landlock.Ruleset{HandledNet: landlock.ConnectTCP}

	if got := try(kerneltest.Confinement{}); got != "OK OK" {
		t.Errorf("unconfined: %s", got)
	}
	t.Logf("under Landlock alone: %s", try(kerneltest.Confinement{Ruleset: ports}))
	if got := try(kerneltest.Confinement{Ruleset: ports, Filter: Combine(TCPOnly)}); got != "EPERM EACCES" {
		t.Errorf("under Landlock and the filter: %s, want EPERM EACCES", got)
	}
	if got := try(kerneltest.Confinement{Filter: Combine(TCPOnly)}); got != "EPERM OK" {
		t.Errorf("under the filter: %s, want EPERM OK", got)
	}
}

func TestKernelAllowsTheRest(t *testing.T) {
	kerneltest.Seccomp(t)
	ops := []attempt.Op{
		attempt.New("socket", "tcp"),
		attempt.New("socketpair"),
		attempt.New("read", "/etc/passwd"),
		attempt.New("exec", "/bin/true"),
	}
	want := "EPERM EPERM OK OK"
	for _, groups := range [][]*Group{{Baseline, Always, Network}, {Baseline, Always, Hardened, Network}} {
		if got := strings.Join(kerneltest.Try(t, kerneltest.Confinement{Filter: Combine(groups...)}, ops...), " "); got != want {
			t.Errorf("under the filter: %s, want %s", got, want)
		}
	}
	want = "OK OK OK OK"
	if got := strings.Join(kerneltest.Try(t, kerneltest.Confinement{}, ops...), " "); got != want {
		t.Errorf("without: %s, want %s", got, want)
	}
}

func TestInstallReportsErrors(t *testing.T) {
	if err := Install(nil); err == nil {
		t.Error("an empty program was installed")
	}
	// A program that ends without an answer is refused by the kernel's checker.
	if err := Install(Program{{Code: 0x20}}); err == nil || !strings.Contains(err.Error(), "seccomp") {
		t.Errorf("got %v, want the kernel's refusal", err)
	}
}
