// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/internal/kerneltest"
	"github.com/burin-labs/nomad-driver-harn/policy"
)

// The fields arrive through Nomad's own decoding.
func TestExtensionsDecode(t *testing.T) {
	task, err := parseTask(t, `command = "/bin/true"
capability_policy {
	tcp_connect       = [443, "80"]
	tcp_bind          = []
	unix_socket_roots = ["/run/db"]
	local_ipc         = true
	devices           = ["/dev/kvm"]
	min_landlock_abi  = 6
}`)

	want := policy.Extensions{
		TCPConnect: []int{443, 80}, TCPBind: []int{}, UnixSocketRoots: []string{"/run/db"},
		LocalIPC: new(true), Devices: []string{"/dev/kvm"}, MinLandlockABI: 6,
	}
	if err != nil || !reflect.DeepEqual(task.Policy.Extensions, want) {
		t.Errorf("got %+v, %v", task, err)
	}
	task, err = parseTask(t, "command = \"/bin/true\"\ncapability_policy {\n}")
	if err != nil || !reflect.DeepEqual(task.Policy.Extensions, policy.Extensions{}) {
		t.Errorf("absent fields: got %+v, %v", task, err)
	}
}

// local_ipc is one of three things, in a job and in a ceiling.
func TestLocalIPCDecodes(t *testing.T) {
	for text, want := range map[string]*bool{"": nil, "local_ipc = null": nil, "local_ipc = false": new(false), "local_ipc = true": new(true)} {
		task, err := parseTask(t, "command = \"/bin/true\"\ncapability_policy {\n"+text+"\n}")
		if err != nil || !reflect.DeepEqual(task.Policy.LocalIPC, want) {
			t.Errorf("%q: %+v, %v", text, task, err)
		}
		config, err := parseConfig(t, "ceiling {\n"+text+"\n}")
		if want != nil && *want {
			continue // refused, as it limits nothing
		}
		if err != nil || !reflect.DeepEqual(config.Ceiling.LocalIPC, want) {
			t.Errorf("ceiling with %q: %+v, %v", text, config, err)
		}
	}
}

// python runs what a task tries with sockets: each line prints OK or the name
// of the error.
func python(lines ...string) string {
	var b strings.Builder
	b.WriteString("import socket as s, errno, os, fcntl\ndef t(name, f):\n try: f(); print(name, 'OK')\n except OSError as e: print(name, errno.errorcode.get(e.errno, e))\n")
	for _, line := range lines {
		b.WriteString(line + "\n")
	}
	b.WriteString("print('end')\n")
	return b.String()
}

func (h *harness) python(p policy.Policy, lines ...string) string {
	h.t.Helper()
	cfg := h.task(TaskConfig{Command: "/usr/bin/python3", Args: []string{"-c", python(lines...)}, Policy: &p})
	h.start(cfg)
	h.wait(cfg.ID)
	return h.log(cfg, "stdout", "end")
}

func TestPorts(t *testing.T) {
	kerneltest.Landlock(t, 4)
	h := newHarness(t, nil)
	var ports [2]int
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		ports[i] = l.Addr().(*net.TCPAddr).Port
	}
	tries := []string{
		fmt.Sprintf("t('first', lambda: s.create_connection(('127.0.0.1', %d)))", ports[0]),
		fmt.Sprintf("t('second', lambda: s.create_connection(('127.0.0.1', %d)))", ports[1]),
		"t('bind', lambda: s.socket().bind(('127.0.0.1', 28080)))",
		"t('listen', lambda: s.socket().listen())",
		"t('udp', lambda: s.socket(s.AF_INET, s.SOCK_DGRAM))",
		"t('mptcp', lambda: s.socket(s.AF_INET, s.SOCK_STREAM, 262))",
		"t('unix', lambda: s.socket(s.AF_UNIX))",
	}
	for name, tc := range map[string]struct {
		e    policy.Extensions
		want string
	}{
		"no limit": {policy.Extensions{}, "first OK\nsecond OK\nbind OK\nlisten OK\nudp OK\nmptcp EPROTONOSUPPORT\nunix OK\n"},
		"connect":  {policy.Extensions{TCPConnect: ports[:1]}, "first OK\nsecond EACCES\nbind EACCES\nlisten EPERM\nudp EPERM\nmptcp EPERM\nunix OK\n"},
		"bind":     {policy.Extensions{TCPBind: []int{28080, 0}}, "first EACCES\nsecond EACCES\nbind OK\nlisten OK\nudp EPERM\nmptcp EPERM\nunix OK\n"},
	} {
		if got := h.python(policy.Policy{SideEffectLevel: "network", Extensions: tc.e}, tries...); got != tc.want+"end\n" {
			t.Errorf("%s: got\n%swant\n%s", name, got, tc.want)
		}
	}
}

func TestLocalIPC(t *testing.T) {
	h := newHarness(t, nil)
	tries := []string{
		"def pair():\n a, b = s.socketpair(); a.sendall(b'x'); assert b.recv(1) == b'x'",
		"t('pair', pair)",
		"t('tcp', lambda: s.socket())",
		"t('netlink', lambda: s.socket(s.AF_NETLINK, s.SOCK_RAW, 0))",
		"t('socket', lambda: s.socket(s.AF_UNIX))",
		"t('datagrams', lambda: s.socketpair(s.AF_UNIX, s.SOCK_DGRAM))",
	}
	on := "pair OK\ntcp EPERM\nnetlink EPERM\nsocket EPERM\ndatagrams EPERM\nend\n"
	if kerneltest.Landlock(t, 1) >= 9 {
		on = "pair OK\ntcp EPERM\nnetlink EPERM\nsocket OK\ndatagrams OK\nend\n"
	}
	for name, tc := range map[string]struct {
		local *bool
		want  string
	}{
		"absent": {nil, on},
		"true":   {new(true), on},
		"false":  {new(false), "pair EPERM\ntcp EPERM\nnetlink EPERM\nsocket EPERM\ndatagrams EPERM\nend\n"},
	} {
		p := policy.Policy{SideEffectLevel: "process_exec", Extensions: policy.Extensions{LocalIPC: tc.local}}
		if got := h.python(p, tries...); got != tc.want {
			t.Errorf("local_ipc %s: got\n%swant\n%s", name, got, tc.want)
		}
	}
}

// Without network, a task reaches its own servers, by path and by abstract name,
// from a session too where the place is the task's own; and nobody else's, though
// their sockets lie in its workspace.
func TestLocalServers(t *testing.T) {
	abi := kerneltest.Landlock(t, 1)
	h := newHarness(t, nil)
	base := filepath.Dir(h.config.StateDir)
	shared := filepath.Join(base, "shared")
	if err := os.Mkdir(shared, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, network := range []string{"unix", "unixgram"} {
		var l io.Closer
		var err error
		path := filepath.Join(shared, network)
		if network == "unix" {
			l, err = net.Listen(network, path)
		} else {
			l, err = net.ListenPacket(network, path)
		}
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if err := os.Chmod(path, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	tries := []string{
		"def serve(at):\n l = s.socket(s.AF_UNIX); l.bind(at); l.listen(); c = s.socket(s.AF_UNIX); c.connect(at); a, _ = l.accept(); a.sendall(b'x'); assert c.recv(1) == b'x'",
		"def post(at):\n l = s.socket(s.AF_UNIX, s.SOCK_DGRAM); l.bind(at); s.socket(s.AF_UNIX, s.SOCK_DGRAM).sendto(b'x', at); assert l.recv(1) == b'x'",
		"t('tmp', lambda: serve('/tmp/s'))",
		"t('shm', lambda: serve('/dev/shm/s'))",
		"t('workspace', lambda: serve('s'))",
		"t('abstract', lambda: serve('\\0harn'))",
		"t('datagram', lambda: post('/tmp/d'))",
		fmt.Sprintf("t('others', lambda: s.socket(s.AF_UNIX).connect(%q))", shared+"/unix"),
		fmt.Sprintf("t('others by datagram', lambda: s.socket(s.AF_UNIX, s.SOCK_DGRAM).sendto(b'x', %q))", shared+"/unixgram"),
		fmt.Sprintf("t('others by pair', lambda: s.socketpair(s.AF_UNIX, s.SOCK_DGRAM)[0].sendto(b'x', %q))", shared+"/unixgram"),
	}
	want := "tmp OK\nshm OK\nworkspace OK\nabstract OK\ndatagram OK\nothers EACCES\nothers by datagram EACCES\nothers by pair EACCES\nend\n"
	if abi < 9 {
		want = "tmp EPERM\nshm EPERM\nworkspace EPERM\nabstract EPERM\ndatagram EPERM\nothers EPERM\nothers by datagram EPERM\nothers by pair EPERM\nend\n"
	}
	p := policy.Policy{SideEffectLevel: "process_exec", WorkspaceRoots: []string{".", shared}}
	if got := h.python(p, tries...); got != want {
		t.Errorf("at ABI %d: got\n%swant\n%s", abi, got, want)
	}
	// With a network it is the job's author who names the workspace.
	p.SideEffectLevel = "network"
	if got := h.python(p, tries[len(tries)-3:]...); got != "others OK\nothers by datagram OK\nothers by pair OK\nend\n" {
		t.Errorf("with a network: got\n%s", got)
	}
}

// One task does not use up what the machine has of terminals; it has as many as it
// needs, and what it had others have when it has ended.
// POSIX message queues are the task's own: its sessions have them, and the host's are others.
func TestMessageQueues(t *testing.T) {
	const open = `import ctypes, os, sys
l = ctypes.CDLL(None, use_errno=True)
def check(r):
    if r < 0: sys.exit(os.strerror(ctypes.get_errno()))
    return r
q = check(l.mq_open(b"/harn-test", %s, 0o600, None))
`
	const send, receive = `
check(l.mq_send(q, b"a message", 9, 0))
print("sent", flush=True)
import time; time.sleep(1000)
`, `
b = ctypes.create_string_buffer(65536)
n = check(l.mq_receive(q, b, 65536, None))
print(b.raw[:n].decode())
`
	for _, profile := range []string{"worktree", "os_hardened"} {
		h := newHarness(t, nil)
		cfg := h.task(TaskConfig{
			Command: "/usr/bin/python3", Args: []string{"-c", fmt.Sprintf(open, "os.O_CREAT | os.O_WRONLY") + send},
			Policy: &policy.Policy{SandboxProfile: profile, SideEffectLevel: "process_exec"},
		})
		h.start(cfg)
		h.log(cfg, "stdout", "sent\n")
		r, err := h.ExecTask(cfg.ID, []string{"python3", "-c", fmt.Sprintf(open, "os.O_RDONLY") + receive}, 10*time.Second)
		if err != nil || string(r.Stdout) != "a message\n" {
			t.Errorf("%s: a session receives %+v, %v", profile, r, err)
		}
		out, err := exec.Command("python3", "-c", fmt.Sprintf(open, "os.O_RDONLY")).CombinedOutput()
		if err == nil || !strings.Contains(string(out), "No such file") {
			t.Errorf("%s: the host sees the task's queue: %s, %v", profile, out, err)
		}
		// In the directory they can be seen and removed, and nothing else is there.
		r, err = h.ExecTask(cfg.ID, []string{"sh", "-c", "ls /dev/mqueue; rm /dev/mqueue/harn-test; mkdir /dev/mqueue/d"}, 10*time.Second)
		if err != nil || !strings.HasPrefix(string(r.Stdout), "harn-test\nmkdir: ") {
			t.Errorf("%s: the directory of queues: %+v, %v", profile, r, err)
		}
	}
}

func TestTerminalsAreLimited(t *testing.T) {
	kerneltest.Root(t)
	h := newHarness(t, nil)
	got := h.python(policy.Policy{SideEffectLevel: "process_exec"},
		"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024))",
		"n = 0",
		"try:\n while True: os.open('/dev/ptmx', os.O_RDWR | os.O_NOCTTY); n += 1\nexcept OSError as e: print(n, errno.errorcode[e.errno])",
		"print(os.listdir('/dev/pts').__len__() - 1)",
	)
	if got != "64 ENOSPC\n64\nend\n" {
		t.Errorf("got\n%s", got)
	}
}

// Nothing of a task's keys is left for the next one of the same user.
func TestKeyrings(t *testing.T) {
	h := newHarness(t, nil)
	for _, profile := range []string{"worktree", "os_hardened"} {
		got := h.python(policy.Policy{SandboxProfile: profile},
			"import ctypes; c = ctypes.CDLL(None, use_errno=True)",
			"def call(*a):\n ctypes.set_errno(0)\n if c.syscall(*a) < 0: raise OSError(ctypes.get_errno(), '')",
			fmt.Sprintf("t('add', lambda: call(%d, b'user', b'k', b'v', 1, -4))", unix.SYS_ADD_KEY),
			fmt.Sprintf("t('user keyring', lambda: call(%d, 0, -4, 1))", unix.SYS_KEYCTL),
			fmt.Sprintf("t('another call', lambda: call(%d))", unix.SYS_GETPID),
		)
		if got != "add EPERM\nuser keyring EPERM\nanother call OK\nend\n" {
			t.Errorf("%s: got\n%s", profile, got)
		}
	}
}

// What runtimes do as they start, or at the first command that they run, works
// without a network.
func TestRuntimesWithoutNetwork(t *testing.T) {
	h := newHarness(t, nil)
	for _, tc := range []struct{ program, script string }{
		{"node", `node -e 'require("child_process").execFileSync("true")'`},
		{"python3", `python3 -c 'import asyncio; asyncio.run(asyncio.sleep(0))'`},
		{"python3", `python3 -c 'import multiprocessing as m
p = m.Pool(1); assert p.map(len, [[1]]) == [1]'`},
		{"perl", `perl -MSocket -e 'socketpair(A, B, AF_UNIX, SOCK_STREAM, PF_UNSPEC) or die $!'`},
		{"javac", `echo 'public class M { public static void main(String[] a) throws Exception { java.nio.channels.FileChannel.open(java.nio.file.Path.of("M.java")).close(); } }' > M.java && javac M.java && java M`},
	} {
		if _, err := exec.LookPath(tc.program); err != nil {
			t.Logf("no %s here", tc.program)
			continue
		}
		cfg := h.task(TaskConfig{
			Command: "/bin/sh", Args: []string{"-c", "(" + tc.script + ") 2>&1; echo end $?"},
			Policy: &policy.Policy{SideEffectLevel: "process_exec"},
		})
		h.start(cfg)
		h.wait(cfg.ID)
		if got := h.log(cfg, "stdout", "end"); got != "end 0\n" {
			t.Errorf("%s: %s", tc.program, got)
		}
	}
}

func TestUnixSocketRoots(t *testing.T) {
	kerneltest.Landlock(t, 9)
	h := newHarness(t, nil)
	base := filepath.Dir(h.config.StateDir)
	var tries []string
	for _, name := range []string{"admitted", "other"} {
		dir := filepath.Join(base, name)
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		l, err := net.Listen("unix", dir+"/s")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if err := os.Chmod(dir+"/s", 0o777); err != nil {
			t.Fatal(err)
		}
		tries = append(tries, fmt.Sprintf("t(%q, lambda: s.socket(s.AF_UNIX).connect(%q))", name, dir+"/s"))
	}
	tries = append(tries, "t('tcp', lambda: s.socket())")
	// The other directory is there to be read, so that it is the right to connect that is missing.
	p := policy.Policy{SideEffectLevel: "none", ReadOnlyRoots: []string{base + "/other"}, Extensions: policy.Extensions{UnixSocketRoots: []string{base + "/admitted"}}}
	if got := h.python(p, tries...); got != "admitted OK\nother EACCES\ntcp EPERM\nend\n" {
		t.Errorf("got\n%s", got)
	}
}

func TestNamedDevices(t *testing.T) {
	const device = "/dev/urandom" // every task has it, but without ioctl
	tries := []string{fmt.Sprintf("t('entropy', lambda: fcntl.ioctl(os.open(%q, os.O_RDONLY), 0x80045200, b'1234'))", device)}
	h := newHarness(t, func(c *Config) { c.Devices = []string{"/dev/ura*", "/dev/harn-none", "/dev/pts"} })
	kerneltest.Landlock(t, 5)
	for named, want := range map[bool]string{true: "entropy OK\nend\n", false: "entropy EACCES\nend\n"} {
		var p policy.Policy
		if named {
			p.Devices = []string{device}
		}
		if got := h.python(p, tries...); got != want {
			t.Errorf("named %v: got\n%s", named, got)
		}
	}
	for path, want := range map[string]string{
		"/dev/kmsg":      `devices[0]: "/dev/kmsg" is not allowed by the operator (plugin option devices: /dev/ura*, /dev/harn-none, /dev/pts)`,
		"/dev/harn-none": "no such file",
		"/dev/pts":       "/dev/pts is not a device",
	} {
		cfg := h.task(TaskConfig{Command: "/bin/true", Policy: &policy.Policy{Extensions: policy.Extensions{Devices: []string{path}}}})
		_, _, err := h.StartTask(cfg)
		wantError(t, path, err, want)
	}
}
