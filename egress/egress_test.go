// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package egress_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/egress"
	"github.com/burin-labs/nomad-driver-harn/egress/forward"
	"github.com/burin-labs/nomad-driver-harn/egress/rule"
	"github.com/burin-labs/nomad-driver-harn/executor"
	"github.com/burin-labs/nomad-driver-harn/internal/kerneltest"
	"github.com/burin-labs/nomad-driver-harn/internal/nettest"
	"github.com/burin-labs/nomad-driver-harn/landlock"
	"github.com/burin-labs/nomad-driver-harn/seccomp"
)

func TestMain(m *testing.M) {
	kerneltest.Isolate()
	program, err := kerneltest.Program()
	if err != nil {
		panic(err)
	}
	executor.SetProgram(bytes.NewReader(program))
	kerneltest.Main(m)
}

const (
	nobody      = 65534
	oomScoreAdj = 123 // of tasks
)

// task is a task with a network of its own.
type task struct {
	*executor.Task
	out    chan string
	events *bufio.Scanner
}

func parse(t testing.TB, texts ...string) (rules []rule.Rule) {
	t.Helper()
	for _, text := range texts {
		r, err := rule.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		rules = append(rules, r)
	}
	return rules
}

// start starts a shell script.
func start(t testing.TB, c egress.Config, script string) *task {
	t.Helper()
	kerneltest.Root(t)
	kerneltest.Seccomp(t)
	c.ABI, _ = landlock.Detect()
	base, err := os.MkdirTemp("/var/tmp", "harn-egress-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(base) })
	if err := os.Chmod(base, 0o755); err != nil {
		t.Fatal(err)
	}
	fifo := filepath.Join(base, "events")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	events, err := os.OpenFile(fifo, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { events.Close() })
	c.Reports = events
	network, err := egress.Open(&c)
	if err != nil {
		t.Fatal(err)
	}
	defer network.Close()
	plan := &executor.Plan{
		Isolation: executor.Isolation{PrivateRoot: true, Mounts: []executor.Mount{
			{Type: executor.Symlink, Source: "usr/bin", Target: "/bin", Create: true},
			{Type: executor.Tmpfs, Target: "/dev", Create: true, ReadOnly: true, Devices: true},
			{Type: executor.Device, Source: "/dev/null", Target: "/dev/null", Create: true},
			{Type: executor.Symlink, Source: "usr/lib", Target: "/lib", Create: true},
			{Type: executor.Symlink, Source: "usr/lib64", Target: "/lib64", Create: true},
			{Type: executor.Proc, Target: "/proc", Create: true},
			{Type: executor.Bind, Source: "/usr", Target: "/usr", Create: true, ReadOnly: true},
			{Type: executor.File, Content: "nameserver 127.0.0.1\n", Target: "/etc/resolv.conf", Create: true},
		}},
		Confinement: executor.Confinement{User: executor.User{UID: nobody, GID: nobody}, OOMScoreAdj: oomScoreAdj, Filter: seccomp.Combine(seccomp.Baseline)},
		Process:     executor.Process{Path: "/usr/bin/bash", Args: []string{"sh", "-c", script}, Env: []string{"PATH=/usr/bin:/bin"}, Dir: "/"},
	}
	network.Join(plan)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	started, err := executor.Start("test", filepath.Join(base, "state"), plan, w, w)
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = started.Remove() })
	x := &task{Task: started, out: make(chan string, 1), events: bufio.NewScanner(events)}
	go func() {
		text, _ := io.ReadAll(r)
		r.Close()
		x.out <- strings.TrimSpace(string(text))
	}()
	return x
}

func (x *task) end(t testing.TB) string {
	t.Helper()
	if _, err := x.Exit(); err != nil {
		t.Error(err)
	}
	return <-x.out
}

var local = []netip.Addr{netip.MustParseAddr("127.0.0.1")}

func config(t testing.TB, port int) egress.Config {
	return egress.Config{
		Rules:    rule.Set{Allow: parse(t, fmt.Sprintf("api.example.com:%d", port), fmt.Sprintf("127.0.0.1:%d", port))},
		Resolver: forward.Resolver{Hosts: map[string][]netip.Addr{"api.example.com": local, "pypi.org": local}},
	}
}

const curl = "curl -s --max-time 10 -o /dev/null -w '%{http_code} ' "

func TestATaskReachesWhatItsRulesName(t *testing.T) {
	port := nettest.Hello(t)
	x := start(t, config(t, port), fmt.Sprintf(`
		curl -s --max-time 10 http://api.example.com:%[1]d/
		%[2]s http://pypi.org:%[1]d/; echo $?
		%[2]s http://127.0.0.1:%[1]d/; echo $?
		%[2]s http://1.1.1.1/; echo $?`, port, curl))
	want := fmt.Sprintf("hello api.example.com:%d\n000 6\n000 7\n000 7", port)
	if out := x.end(t); out != want {
		t.Errorf("%q, expected %q", out, want)
	}
	x.events.Scan()
	var e forward.Event
	if err := json.Unmarshal(x.events.Bytes(), &e); err != nil || e.Name != "pypi.org" || e.Reason == "" {
		t.Errorf("reported is %s (%v), expected pypi.org", x.events.Bytes(), err)
	}
}

// find returns the processes with a name.
func find(name string) (pids []int) {
	for _, p := range kerneltest.Processes() {
		if p.Args[0] == name {
			pids = append(pids, p.PID)
		}
	}
	return pids
}

func status(t testing.TB, pid int) map[string]string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := map[string]string{}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		fields[name] = strings.TrimSpace(value)
	}
	return fields
}

func TestForwardersAreConfined(t *testing.T) {
	x := start(t, config(t, nettest.Hello(t)), "sleep 60")
	time.Sleep(300 * time.Millisecond)
	for _, name := range []string{"harn-egress", "harn-keeper"} {
		pids := find(name)
		if len(pids) != 1 {
			t.Fatalf("%s: processes %v, expected one", name, pids)
		}
		fields := status(t, pids[0])
		for field, want := range map[string]string{
			"CapInh": "0000000000000000", "CapPrm": "0000000000000000", "CapEff": "0000000000000000", "CapBnd": "0000000000000000", "CapAmb": "0000000000000000",
			"NoNewPrivs": "1", "Seccomp": "2", "Groups": "",
		} {
			if fields[field] != want {
				t.Errorf("%s: %s is %q, expected %q", name, field, fields[field], want)
			}
		}
		ids := strings.Fields(fields["Uid"])
		if id, err := strconv.ParseUint(ids[0], 10, 32); err != nil || id < 0xe0000000 || ids[0] != ids[1] || ids[0] != ids[2] {
			t.Errorf("%s: Uid is %q", name, fields["Uid"])
		}
		for _, fd := range []string{"0", "1", "2"} {
			if to, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", pids[0], fd)); to != os.DevNull {
				t.Errorf("%s: descriptor %s is %s", name, fd, to)
			}
		}
		// When memory is short the kernel can kill it, as it can the task.
		if adj, err := os.ReadFile(fmt.Sprintf("/proc/%d/oom_score_adj", pids[0])); string(adj) != fmt.Sprintln(oomScoreAdj) {
			t.Errorf("%s: oom_score_adj is %q (%v), expected %d", name, adj, err, oomScoreAdj)
		}
		// What is of root is for those alone who may look into whichever process, proc(5).
		var mem unix.Stat_t
		if err := unix.Stat(fmt.Sprintf("/proc/%d/mem", pids[0]), &mem); err != nil || mem.Uid != 0 {
			t.Errorf("%s: processes of its user can look into it (%v)", name, err)
		}
		own, _ := os.Readlink("/proc/self/ns/net")
		if of, _ := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", pids[0])); of != own {
			t.Errorf("%s: is in network namespace %s, expected %s", name, of, own)
		}
	}
	if err := x.Kill(); err != nil {
		t.Error(err)
	}
	x.end(t)
	for _, name := range []string{"harn-egress", "harn-keeper"} {
		if left := find(name); len(left) > 0 {
			t.Errorf("%s: %v are left", name, left)
		}
	}
}

// A forwarder that is killed is started again; until then there is no network.
func TestForwarderIsStartedAgain(t *testing.T) {
	port := nettest.Hello(t)
	x := start(t, config(t, port), fmt.Sprintf(`
		for i in 1 2 3 4; do %s http://api.example.com:%d/; echo $?; sleep 0.5; done`, curl, port))
	for range 3 {
		time.Sleep(400 * time.Millisecond)
		for _, pid := range find("harn-egress") {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
	}
	if out, want := x.end(t), "200 0\n200 0\n200 0\n200 0"; out != want {
		t.Errorf("%q, expected %q", out, want)
	}
	// One that was killed says nothing itself: the next one does.
	x.events.Scan()
	if text := x.events.Text(); !strings.Contains(text, "killed by signal 9") {
		t.Errorf("reported is %s, expected that one was killed", text)
	}
}

func TestNoNetworkWithoutForwarder(t *testing.T) {
	port := nettest.Hello(t)
	x := start(t, config(t, port), fmt.Sprintf(`sleep 0.5
		curl -s --max-time 2 -o /dev/null http://api.example.com:%[1]d/; echo $?
		curl -s --max-time 2 -o /dev/null http://127.0.0.1:%[1]d/; echo $?`, port))
	for _, name := range []string{"harn-keeper", "harn-egress"} {
		for _, pid := range find(name) {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
	}
	if out, want := x.end(t), "6\n7"; out != want && out != "28\n7" {
		t.Errorf("%q, expected %q", out, want)
	}
}

// dial connects to a published port. Until the task listens, a connection is reset: that
// may be before dial has it, and then there is none.
func dial(t *testing.T, at netip.AddrPort) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", at.String())
	if err != nil && !errors.Is(err, unix.ECONNRESET) {
		t.Fatal(err)
	}
	return conn
}

func TestPublishedPorts(t *testing.T) {
	kerneltest.Root(t)
	at := netip.AddrPortFrom(local[0], uint16(nettest.FreePort(t)))
	x := start(t, egress.Config{Published: []netip.AddrPort{at}}, fmt.Sprintf(`exec python3 -c '
import socket
s = socket.create_server(("127.0.0.1", %d))
c, _ = s.accept()
c.sendall(b"served " + c.recv(9))
c.close()'`, at.Port()))
	got := ""
	for range 50 {
		if conn := dial(t, at); conn != nil {
			_, _ = conn.Write([]byte("hello"))
			text, _ := io.ReadAll(conn)
			conn.Close()
			if got = string(text); got != "" {
				break
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	if got != "served hello" {
		t.Errorf("%q, expected %q", got, "served hello")
	}
	if out := x.end(t); out != "" {
		t.Error(out)
	}
}

// A connection to a published port that the task does not serve yet is no failure of
// the forwarder's.
func TestEventsOfPublishedPortsHaveAnAddress(t *testing.T) {
	at := netip.AddrPortFrom(local[0], uint16(nettest.FreePort(t)))
	x := start(t, egress.Config{Published: []netip.AddrPort{at}}, "sleep 60")
	if conn := dial(t, at); conn != nil {
		defer conn.Close()
	}
	x.events.Scan()
	var e egress.Event
	if err := json.Unmarshal(x.events.Bytes(), &e.Event); err != nil || !e.Failed || e.Host() != "127.0.0.1" || e.Port != at.Port() {
		t.Errorf("%s (%v)", x.events.Bytes(), err)
	}
	if err := x.Kill(); err != nil {
		t.Error(err)
	}
	x.end(t)
}
