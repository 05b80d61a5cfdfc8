// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package landlock_test

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/internal/attempt"
	"github.com/burin-labs/nomad-driver-harn/internal/kerneltest"
	. "github.com/burin-labs/nomad-driver-harn/landlock"
)

func TestMain(m *testing.M) { kerneltest.Main(m) }

// tree makes files to try operations on, and returns their directory.
func tree(t *testing.T) string {
	t.Helper()
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"a/sub", "a/empty", "b"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{"a/f", "a/g", "a/sub/f", "b/f"} {
		if err := os.WriteFile(filepath.Join(root, file), []byte("text"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	program, err := os.ReadFile("/bin/true")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "a/program"), program, 0o777); err != nil {
		t.Fatal(err)
	}
	return root
}

// system lets a confined child run programs.
var system = []PathRule{
	{Path: "/usr", Access: Execute | ReadFile | ReadDir},
}

func ruleset(abi ABI, rules ...PathRule) *Ruleset {
	return &Ruleset{HandledFS: abi.Rights().FS, Paths: rules}
}

// Every right is shown twice: an operation that needs it is denied by a rule
// with all other rights, and admitted by a rule with all rights.
func TestEachRightAdmitsItsOperation(t *testing.T) {
	kerneltest.Root(t) // for mknod
	abi := kerneltest.Landlock(t, 1)

	for _, tc := range []struct {
		right AccessFS
		since ABI
		op    func(dir string) attempt.Op
	}{
		{Execute, 1, func(d string) attempt.Op { return attempt.New("exec", d+"/a/program") }},
		{WriteFile, 1, func(d string) attempt.Op { return attempt.New("write", d+"/a/f") }},
		{ReadFile, 1, func(d string) attempt.Op { return attempt.New("read", d+"/a/f") }},
		{ReadDir, 1, func(d string) attempt.Op { return attempt.New("list", d+"/a/sub") }},
		{RemoveDir, 1, func(d string) attempt.Op { return attempt.New("rmdir", d+"/a/empty") }},
		{RemoveFile, 1, func(d string) attempt.Op { return attempt.New("unlink", d+"/a/f") }},
		{MakeChar, 1, func(d string) attempt.Op { return attempt.New("mknod", d+"/a/null") }},
		{MakeDir, 1, func(d string) attempt.Op { return attempt.New("mkdir", d+"/a/new") }},
		{MakeReg, 1, func(d string) attempt.Op { return attempt.New("create", d+"/a/new") }},
		{MakeSock, 1, func(d string) attempt.Op { return attempt.New("listen", "unix", d+"/a/s") }},
		{MakeFifo, 1, func(d string) attempt.Op { return attempt.New("mkfifo", d+"/a/new") }},
		{MakeBlock, 1, func(d string) attempt.Op { return attempt.New("mkblock", d+"/a/new") }},
		{MakeSym, 1, func(d string) attempt.Op { return attempt.New("symlink", d+"/a/new") }},
		{Refer, 2, func(d string) attempt.Op { return attempt.New("rename", d+"/a/f", d+"/a/sub/new") }},
		{Truncate, 3, func(d string) attempt.Op { return attempt.New("truncate", d+"/a/f") }},
		{IoctlDev, 5, func(string) attempt.Op { return attempt.New("ioctl", "/dev/ptmx") }},
	} {
		t.Run(strings.Trim(tc.right.String(), "{}"), func(t *testing.T) {
			kerneltest.Landlock(t, tc.since)
			all := abi.Rights().FS
			answer := func(granted AccessFS) string {
				dir := tree(t)
				rules := append([]PathRule{
					{Path: dir, Access: granted},
					{Path: "/dev", Access: granted},
				}, system...)
				return kerneltest.Try(t, kerneltest.Confinement{Ruleset: ruleset(abi, rules...)}, tc.op(dir))[0]
			}
			denied := "EACCES"
			if tc.right == Refer {
				denied = "EXDEV"
			}
			if got := answer(all &^ tc.right); got != denied {
				t.Errorf("without the right: %s, want %s", got, denied)
			}
			if got := answer(all); got != attempt.OK {
				t.Errorf("with the right: %s, want OK", got)
			}
		})
	}
}

func TestRulesHoldForTheirTreeOnly(t *testing.T) {
	abi := kerneltest.Landlock(t, 1)
	dir := tree(t)
	rules := ruleset(abi, PathRule{Path: dir + "/a", Access: ReadFile | ReadDir})
	answers := kerneltest.Try(t, kerneltest.Confinement{Ruleset: rules},
		attempt.New("read", dir+"/a/f"),
		attempt.New("read", dir+"/a/sub/f"),
		attempt.New("list", dir+"/a"),
		attempt.New("read", dir+"/b/f"),
		attempt.New("read", dir+"/a/../b/f"),
		attempt.New("list", dir),
		attempt.New("list", "/"),
		attempt.New("write", dir+"/a/f"),
	)
	want := []string{"OK", "OK", "OK", "EACCES", "EACCES", "EACCES", "EACCES", "EACCES"}
	if strings.Join(answers, " ") != strings.Join(want, " ") {
		t.Errorf("got %v, want %v", answers, want)
	}
}

// A rule on a file with directory rights is EINVAL in the kernel: they are dropped.
func TestRuleOnAFile(t *testing.T) {
	abi := kerneltest.Landlock(t, 1)
	dir := tree(t)
	rules := ruleset(abi, PathRule{Path: dir + "/a/f", Access: ReadFile | ReadDir | Execute})
	answers := kerneltest.Try(t, kerneltest.Confinement{Ruleset: rules},
		attempt.New("read", dir+"/a/f"), attempt.New("read", dir+"/a/g"))
	if answers[0] != attempt.OK || answers[1] != "EACCES" {
		t.Errorf("got %v, want [OK EACCES]", answers)
	}
	// Rights for directories only leave no rule, which is not an error either.
	rules = ruleset(abi, PathRule{Path: dir + "/a/f", Access: ReadDir})
	if got := kerneltest.Try(t, kerneltest.Confinement{Ruleset: rules}, attempt.New("read", dir+"/a/f"))[0]; got != "EACCES" {
		t.Errorf("got %s, want EACCES", got)
	}
}

// The same for ports: an operation is denied without a rule for its port, and
// where the rule lacks the right, and admitted by a rule with it.
func TestEachRightToPorts(t *testing.T) {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	datagrams, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer datagrams.Close()
	tcp, udp := netip.MustParseAddrPort(server.Addr().String()), netip.MustParseAddrPort(datagrams.LocalAddr().String())
	const any0 = "127.0.0.1:0"

	for _, tc := range []struct {
		right AccessNet
		since ABI
		port  uint16
		op    attempt.Op
	}{
		{BindTCP, 4, 0, attempt.New("listen", "tcp", any0)},
		{ConnectTCP, 4, tcp.Port(), attempt.New("connect", "tcp", tcp.String())},
		{BindUDP, 10, 0, attempt.New("bind", "udp", any0)},
		{ConnectSendUDP, 10, udp.Port(), attempt.New("connect", "udp", udp.String())},
		{ConnectSendUDP, 10, udp.Port(), attempt.New("sendto", udp.String())},
	} {
		t.Run(strings.Trim(tc.right.String(), "{}")+" "+tc.op.Name, func(t *testing.T) {
			all := kerneltest.Landlock(t, tc.since).Rights().Net
			answer := func(rules ...PortRule) string {
				if tc.right == ConnectSendUDP { // sockets get a port of their own by it
					rules = append(rules, PortRule{Port: 0, Access: BindUDP})
				}
				set := &Ruleset{HandledFS: ReadDir, HandledNet: all, Ports: rules}
				return kerneltest.Try(t, kerneltest.Confinement{Ruleset: set}, tc.op)[0]
			}
			if got := answer(); got != "EACCES" {
				t.Errorf("without a rule: %s, want EACCES", got)
			}
			if got := answer(PortRule{Port: tc.port + 1, Access: all}); got != "EACCES" {
				t.Errorf("with a rule for another port: %s, want EACCES", got)
			}
			if got := answer(PortRule{Port: tc.port, Access: all &^ (tc.right | BindUDP)}); got != "EACCES" {
				t.Errorf("with a rule without the right: %s, want EACCES", got)
			}
			if got := answer(PortRule{Port: tc.port, Access: tc.right}); got != attempt.OK {
				t.Errorf("with a rule: %s, want OK", got)
			}
		})
	}
}

// A datagram socket gets a port when it first sends: that needs BindUDP on port 0.
func TestSendingUDPNeedsAPortToSendFrom(t *testing.T) {
	all := kerneltest.Landlock(t, 10).Rights().Net
	datagrams, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer datagrams.Close()
	to := netip.MustParseAddrPort(datagrams.LocalAddr().String())
	send := PortRule{Port: to.Port(), Access: ConnectSendUDP}
	for _, tc := range []struct {
		rules []PortRule
		want  string
	}{
		{[]PortRule{send}, "EACCES"},
		{[]PortRule{send, {Port: 0, Access: BindUDP}}, attempt.OK},
	} {
		set := &Ruleset{HandledFS: ReadDir, HandledNet: all, Ports: tc.rules}
		if got := kerneltest.Try(t, kerneltest.Confinement{Ruleset: set}, attempt.New("sendto", to.String()))[0]; got != tc.want {
			t.Errorf("%v: %s, want %s", tc.rules, got, tc.want)
		}
	}
}

func TestScopes(t *testing.T) {
	abi := kerneltest.Landlock(t, 6)
	abstract, err := net.Listen("unix", "@harn-landlock-test")
	if err != nil {
		t.Fatal(err)
	}
	defer abstract.Close()
	for _, tc := range []struct {
		scope Scope
		op    attempt.Op
	}{
		{ScopeAbstractUnixSocket, attempt.New("connect", "unix", "@harn-landlock-test")},
		{ScopeSignal, attempt.New("signal", strconv.Itoa(os.Getpid()))},
	} {
		for _, scope := range []struct {
			Scope
			want string
		}{{abi.Rights().Scope &^ tc.scope, attempt.OK}, {tc.scope, "EPERM"}} {
			set := &Ruleset{HandledFS: ReadDir, Scoped: scope.Scope}
			if got := kerneltest.Try(t, kerneltest.Confinement{Ruleset: set}, tc.op)[0]; got != scope.want {
				t.Errorf("%v under %v: %s, want %s", tc.op, scope.Scope, got, scope.want)
			}
		}
	}
}

// UNIX sockets of others are reached by a right on their path, or on a
// directory above, or on the very socket; connected or by a datagram.
func TestResolveUnix(t *testing.T) {
	abi := kerneltest.Landlock(t, 9)
	dir := tree(t)
	stream, err := net.Listen("unix", dir+"/a/stream")
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	datagram, err := net.ListenPacket("unixgram", dir+"/a/datagram")
	if err != nil {
		t.Fatal(err)
	}
	defer datagram.Close()
	for kind, path := range map[string]string{"unix": dir + "/a/stream", "unixgram": dir + "/a/datagram"} {
		for _, tc := range []struct {
			rule PathRule
			want string
		}{
			{PathRule{Path: dir + "/a", Access: abi.Rights().FS &^ ResolveUnix}, "EACCES"},
			{PathRule{Path: dir + "/b", Access: ResolveUnix}, "EACCES"},
			{PathRule{Path: dir + "/a", Access: ResolveUnix}, attempt.OK},
			{PathRule{Path: path, Access: ResolveUnix | ReadDir}, attempt.OK},
		} {
			set := ruleset(abi, tc.rule)
			if got := kerneltest.Try(t, kerneltest.Confinement{Ruleset: set}, attempt.New("connect", kind, path))[0]; got != tc.want {
				t.Errorf("%s with %s %v: %s, want %s", kind, tc.rule.Path, tc.rule.Access, got, tc.want)
			}
		}
	}
}

// Flags for audit are accepted where the ABI has them, and restrict as before.
func TestAuditFlags(t *testing.T) {
	kerneltest.Landlock(t, 7)
	dir := tree(t)
	for _, flags := range []Flags{LogSameExecOff, LogNewExecOn, LogSubdomainsOff, LogNewExecOn | LogSubdomainsOff} {
		c := kerneltest.Confinement{Ruleset: ruleset(1, PathRule{Path: dir + "/a", Access: ReadFile}), Flags: flags}
		got := kerneltest.Try(t, c, attempt.New("read", dir+"/a/f"), attempt.New("read", dir+"/b/f"))
		if got[0] != attempt.OK || got[1] != "EACCES" {
			t.Errorf("%v: got %v, want [OK EACCES]", flags, got)
		}
	}
}

func TestAllThreads(t *testing.T) {
	kerneltest.Landlock(t, 8)
	dir := tree(t)
	for flags, want := range map[Flags]string{0: attempt.OK, AllThreads: "EACCES"} {
		c := kerneltest.Confinement{Ruleset: ruleset(1), Flags: flags, OtherThread: true}
		if got := kerneltest.Try(t, c, attempt.New("read", dir+"/a/f"))[0]; got != want {
			t.Errorf("another thread, flags %v: %s, want %s", flags, got, want)
		}
	}
}

func TestNoNewPrivsByTheKernel(t *testing.T) {
	kerneltest.Root(t)
	kerneltest.Landlock(t, 11)
	op := attempt.New("no_new_privs")
	if got := kerneltest.Try(t, kerneltest.Confinement{}, op)[0]; got == attempt.OK {
		t.Skip("it is set already: the test would show nothing")
	}
	// Without privilege, the kernel lets nobody enter who has it not set.
	c := kerneltest.Confinement{Ruleset: ruleset(1), Flags: NoNewPrivs, UID: 65534}
	if got := kerneltest.Try(t, c, op, attempt.New("list", "/")); got[0] != attempt.OK || got[1] != "EACCES" {
		t.Errorf("got %v, want [OK EACCES]", got)
	}
}

// What a kernel does not know is refused, not passed over.
func TestUnknownFlagIsRefused(t *testing.T) {
	kerneltest.Landlock(t, 1)
	set, err := ruleset(1).Open()
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	if err := Enter(set, 1<<30); !errors.Is(err, unix.EINVAL) || !strings.Contains(err.Error(), "0x40000000") {
		t.Errorf("got %v, want EINVAL and the flag", err)
	}
}

// TCP's rights are about bind(2) and connect(2) of TCP. What else gets a
// connection, users of port rules must deny by other means: when this test
// fails, the kernel has closed a gap, and the means can go.
func TestGapsOfPortRules(t *testing.T) {
	abi := kerneltest.Landlock(t, 4)
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	set := &Ruleset{HandledFS: ReadDir, HandledNet: abi.Rights().Net}
	ops := []attempt.Op{
		attempt.New("connect", "tcp", server.Addr().String()),
		attempt.New("fast-open", server.Addr().String()),
		attempt.New("autobind"),
		attempt.New("socket", "mptcp"),
		attempt.New("socket", "netlink"),
	}
	got := kerneltest.Try(t, kerneltest.Confinement{Ruleset: set}, ops...)
	for i, op := range ops {
		t.Logf("ABI %d: %v: %s", abi, op, got[i])
	}
	if got[0] != "EACCES" {
		t.Errorf("%v: %s, want EACCES", ops[0], got[0])
	}
}

func TestOpenRefusesWhatIsNotTheRealPath(t *testing.T) {
	abi := kerneltest.Landlock(t, 1)
	dir := tree(t)
	if err := os.Symlink(dir+"/a", dir+"/link"); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		rule PathRule
		want string // part of the error, none if it is admitted
	}{
		{PathRule{Path: dir + "/a"}, ""},
		{PathRule{Path: dir + "/a/f"}, ""},
		{PathRule{Path: dir + "/link"}, "symbolic link"},
		{PathRule{Path: dir + "/link/f"}, "symbolic link"},
		{PathRule{Path: dir + "/none"}, "no such file"},
		{PathRule{Path: dir + "/none", Optional: true}, ""},
		{PathRule{Path: "relative"}, "not an absolute path"},
		{PathRule{Path: dir + "/a/../b"}, "not an absolute path"},
		{PathRule{Path: ""}, "not an absolute path"},
	} {
		tc.rule.Access = ReadFile
		set, err := ruleset(abi, tc.rule).Open()
		switch {
		case err == nil:
			set.Close()
			if tc.want != "" {
				t.Errorf("%s: admitted, want an error with %q", tc.rule.Path, tc.want)
			}
		case tc.want == "" || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), tc.rule.Path):
			t.Errorf("%s: got %v, want an error with %q and the path", tc.rule.Path, err, tc.want)
		}
	}
}

func TestOpenNamesRightsThatTheKernelLacks(t *testing.T) {
	kerneltest.Landlock(t, 1)
	_, err := (&Ruleset{HandledFS: ReadFile | 1<<60}).Open()
	if err == nil || !strings.Contains(err.Error(), "landlock_create_ruleset") || !strings.Contains(err.Error(), "0x1000000000000000") {
		t.Errorf("got %v, want an error that names the call and the right", err)
	}
}

func TestDeniedNoticesAMissingConfinement(t *testing.T) {
	if err := Denied("/"); err == nil {
		t.Error("an unconfined process passes the check")
	}
	if err := Denied("/nowhere"); err == nil || !strings.Contains(err.Error(), "EACCES") {
		t.Errorf("got %v, want an error that expected EACCES", err)
	}
}
