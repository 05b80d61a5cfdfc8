// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

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
		"no limit": {policy.Extensions{}, "first OK\nsecond OK\nbind OK\nlisten OK\nudp OK\nmptcp OK\nunix OK\n"},
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
		"t('socket', lambda: s.socket(s.AF_UNIX))",
		"t('tcp', lambda: s.socket())",
		"t('datagrams', lambda: s.socketpair(s.AF_UNIX, s.SOCK_DGRAM))",
	}
	for local, want := range map[bool]string{
		true:  "pair OK\nsocket EPERM\ntcp EPERM\ndatagrams EPERM\nend\n",
		false: "pair EPERM\nsocket EPERM\ntcp EPERM\ndatagrams EPERM\nend\n",
	} {
		p := policy.Policy{SideEffectLevel: "process_exec", Extensions: policy.Extensions{LocalIPC: local}}
		if got := h.python(p, tries...); got != want {
			t.Errorf("local_ipc %v: got\n%swant\n%s", local, got, want)
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
