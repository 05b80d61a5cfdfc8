// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/nomad/plugins/drivers"
	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/audit"
	"github.com/burin-labs/nomad-driver-harn/internal/scrape"
	"github.com/burin-labs/nomad-driver-harn/policy"
)

// atSocket has a plugin serve its metrics beside its records.
func atSocket(c *Config) {
	c.Metrics = &MetricsConfig{Address: "unix:" + filepath.Dir(c.StateDir) + "/metrics.sock"}
}

// serve has the plugin do what an agent has it do first.
func (h *harness) serve() {
	h.t.Helper()
	ctx, cancel := context.WithCancel(h.t.Context())
	h.t.Cleanup(cancel)
	ch, err := h.Fingerprint(ctx)
	if err != nil {
		h.t.Fatal(err)
	}
	<-ch
}

func (h *harness) scrape() scrape.Series {
	h.t.Helper()
	var err error
	for range 500 { // until it listens
		var s scrape.Series
		if s, err = scrape.Get(h.t.Context(), h.config.Metrics.Address); err == nil {
			return s
		}
		time.Sleep(10 * time.Millisecond)
	}
	h.t.Fatal(err)
	return nil
}

// moves checks what an operation counts: that, and nothing else.
func (h *harness) moves(what string, do func(), want ...string) {
	h.t.Helper()
	before := h.scrape()
	do()
	var got []string
	for range 300 {
		if got = h.scrape().Moved(before); slices.Equal(got, want) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	h.t.Errorf("%s: %q, want %q", what, got, want)
}

func TestMetrics(t *testing.T) {
	h := newHarness(t, func(c *Config) {
		atSocket(c)
		c.Ceiling = &policy.Policy{ReadOnlyRoots: []string{"/srv"}, Capabilities: map[string][]string{"workspace": {"read_text", "write_text"}}}
	})
	h.serve()
	if s := h.scrape(); s["harn_healthy"] != 1 || s["harn_tasks_running"] != 0 {
		t.Errorf("a node without tasks: %v", s)
	}
	cfg := h.task(sh("sleep 1000"))
	var handle *drivers.TaskHandle
	h.moves("a start", func() { handle = recovered(t, h.start(cfg)) },
		"harn_task_start_seconds +1", "harn_task_starts_total +1", "harn_tasks_running +1")
	h.moves("a script", func() {
		if _, err := h.ExecTask(cfg.ID, []string{"/bin/true"}, 10*time.Second); err != nil {
			t.Error(err)
		}
	}, `harn_sessions_total{kind="script"} +1`)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan struct{})
	h.moves("alloc exec", func() {
		go func() {
			defer close(ended)
			h.stream(ctx, cfg.ID, false, &bytes.Buffer{}, "sleep", "1000")
		}()
	}, "harn_sessions_running +1", `harn_sessions_total{kind="exec"} +1`)
	h.moves("its end", func() { cancel(); <-ended }, "harn_sessions_running -1")

	// What a job chose is not in the metrics, though it is in the error.
	hostile := "x\"} 1\nharn_injected{field=\"state_dir"
	for field, config := range map[string]TaskConfig{
		"command":           {Command: "/nowhere/" + hostile},
		"work_dir":          {Command: "/bin/true", WorkDir: "/var/lib"},
		"workspace_roots":   {Command: "/bin/true", Policy: &policy.Policy{WorkspaceRoots: []string{hostile}}},
		"read_only_roots":   {Command: "/bin/true", Policy: &policy.Policy{ReadOnlyRoots: []string{"/var/tmp"}}},
		"capabilities":      {Command: "/bin/true", Policy: &policy.Policy{Capabilities: map[string][]string{"workspace": {"delete"}}}},
		"side_effect_level": {Command: "/bin/true", Policy: &policy.Policy{SideEffectLevel: hostile}},
		"cap_add":           {Command: "/bin/true", CapAdd: []string{"sys_admin"}},
		"pid_mode":          {Command: "/bin/true", PIDMode: "host"},
		"ulimit":            {Command: "/bin/true", Ulimit: map[string]string{"nofile": hostile}},
		"devices":           {Command: "/bin/true", Policy: &policy.Policy{Extensions: policy.Extensions{Devices: []string{"/dev/mem"}}}},
	} {
		h.moves("refused for "+field, func() { h.refused(h.task(config)) }, fmt.Sprintf(`harn_task_refusals_total{field=%q} +1`, field))
	}
	root := h.task(sh("true"))
	root.User = "root"
	h.moves("refused for its user", func() { h.refused(root) }, `harn_task_refusals_total{field="user"} +1`)
	lost := h.task(sh("true"))
	lost.Resources.LinuxResources.CpusetCgroupPath = "/sys/fs/cgroup/none"
	h.moves("refused for no field", func() { h.refused(lost) }, `harn_task_refusals_total{field="other"} +1`)

	for name := range h.scrape() {
		if strings.Contains(name, "nowhere") || strings.Contains(name, "injected") || strings.Contains(name, cfg.AllocID) {
			t.Errorf("a job's text is served: %q", name)
		}
	}

	// The next plugin counts from zero.
	h.config.Metrics = &MetricsConfig{Address: h.config.Metrics.Address + "2"}
	h.connect()
	h.serve()
	if s := h.scrape(); s["harn_task_starts_total"] != 0 {
		t.Errorf("another process: %v", s)
	}
	h.moves("a recovery", func() {
		for range 2 { // the second is none
			if err := h.RecoverTask(handle); err != nil {
				t.Error(err)
			}
		}
	}, `harn_task_recoveries_total{result="recovered"} +1`, "harn_tasks_running +1")
	h.moves("a task's end", func() { _ = h.StopTask(cfg.ID, 0, "SIGKILL") }, "harn_tasks_running -1")
	other := *handle
	other.Version = 99
	_ = h.DestroyTask(cfg.ID, true)
	h.moves("a recovery that fails", func() {
		if err := h.RecoverTask(&other); err == nil {
			t.Error("recovered")
		}
	}, `harn_task_recoveries_total{result="failed"} +1`)
	// What makes the node unhealthy.
	if err := os.Chmod(h.config.StateDir, 0o777); err != nil {
		t.Fatal(err)
	}
	h.moves("an unhealthy node", h.serve, "harn_healthy -1")
}

func (h *harness) refused(cfg *drivers.TaskConfig) {
	h.t.Helper()
	if _, _, err := h.StartTask(cfg); err == nil {
		h.t.Error("it was started")
		_ = h.driver.DestroyTask(cfg.ID, true)
	} else {
		h.t.Logf("%v", err)
	}
}

func TestMetricsOfEgress(t *testing.T) {
	h := egressHarness(t, atSocket, "api.example.com", "pypi.org")
	h.serve()
	cfg := h.task(withEgress("for i in 1 2 3; do curl -s --max-time 5 http://pypi.org/; done; sleep 1000", &policy.Egress{Allow: []string{"api.example.com:443"}}))
	h.start(cfg)
	var s scrape.Series
	for range 1000 {
		if s = h.scrape(); s["harn_egress_denials_total"] >= 3 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if s["harn_egress_denials_total"] < 3 || s[`harn_denials_total{kind="other"}`] != 0 {
		t.Errorf("%v", s)
	}
}

// What the kernel logs is counted by its kind, and by nothing that a task chose.
func TestMetricsOfDenials(t *testing.T) {
	h := newHarness(t, atSocket)
	h.serve()
	for _, tc := range []struct {
		denial audit.Denial
		want   string
	}{
		{audit.Denial{Kind: audit.FS, Path: "/etc/passwd", Count: 1}, `harn_denials_total{kind="fs"} +1`},
		{audit.Denial{Kind: audit.Net, Port: 80, Count: 2}, `harn_denials_total{kind="net"} +2`},
		{audit.Denial{Kind: audit.Scope, Count: 1}, `harn_denials_total{kind="scope"} +1`},
		{audit.Denial{Kind: audit.Syscall, Count: 1}, `harn_denials_total{kind="syscall"} +1`},
		{audit.Denial{Kind: "of a later kernel", Count: 1}, `harn_denials_total{kind="other"} +1`},
		{audit.Denial{Kind: audit.Egress, Host: "pypi.org", Count: 3}, "harn_egress_denials_total +3"},
	} {
		h.moves(tc.denial.Kind, func() { h.driver.countDenial(&tc.denial) }, tc.want)
	}
}

// Without the option nothing listens, and nothing is counted.
func TestMetricsAreOff(t *testing.T) {
	h := newHarness(t, nil)
	before := listening(t)
	h.serve()
	h.start(h.task(sh("true")))
	if more := listening(t).without(before); len(more) > 0 {
		t.Errorf("sockets listen that did not before: %v", more)
	}
	if h.driver.count() != nil {
		t.Error("it counts")
	}
	// The control.
	atSocket(&h.config)
	h.connect()
	before = listening(t)
	h.serve()
	h.scrape()
	if more := listening(t).without(before); len(more) == 0 {
		t.Error("with metrics, no socket listens that did not before")
	}
}

// sockets are some of this process, by their addresses.
type sockets []string

// without leaves out others. Those of earlier tests may be closed meanwhile.
func (s sockets) without(others sockets) sockets {
	return slices.DeleteFunc(s, func(socket string) bool { return slices.Contains(others, socket) })
}

// listening are the sockets of this process that listen on this machine, not in a task's network: those
// of TCP, and those named metrics.sock, as other UNIX sockets (those of gRPC) come and go. Each descriptor
// is asked, since the tables below /proc/self/net are of the main thread's namespace, which may be
// another's for a moment.
func listening(t *testing.T) (found sockets) {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	here, err := os.Stat("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range fds {
		fd, err := strconv.Atoi(entry.Name())
		if err != nil {
			t.Fatal(err)
		}
		// What is no socket, or closed by now, gives an error.
		if listens, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN); err != nil || listens == 0 {
			continue
		}
		ns, err := unix.IoctlRetInt(fd, unix.SIOCGSKNS)
		if err != nil {
			continue
		}
		file := os.NewFile(uintptr(ns), "network namespace")
		there, err := file.Stat()
		file.Close()
		if err != nil || !os.SameFile(here, there) {
			continue
		}
		address, err := unix.Getsockname(fd)
		if err != nil {
			continue
		}
		switch a := address.(type) {
		case *unix.SockaddrInet4:
			found = append(found, netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port)).String())
		case *unix.SockaddrInet6:
			found = append(found, netip.AddrPortFrom(netip.AddrFrom16(a.Addr), uint16(a.Port)).String())
		case *unix.SockaddrUnix:
			if filepath.Base(a.Name) == "metrics.sock" {
				found = append(found, a.Name)
			}
		}
	}
	return found
}

func TestMetricsAddress(t *testing.T) {
	for body, part := range map[string]string{
		`metrics { }`:                             "address",
		`metrics { address = "" }`:                "metrics: address",
		`metrics { address = "0.0.0.0:9746" }`:    "no loopback address",
		`metrics { address = "10.0.0.1:9746" }`:   "no loopback address",
		`metrics { address = "localhost:9746" }`:  "127.0.0.1:9746",
		`metrics { address = "unix:run/x.sock" }`: "absolute path",
	} {
		_, err := parseConfig(t, body)
		wantError(t, body, err, part)
	}
	config, err := parseConfig(t, `metrics { address = "unix:/run/harn.sock" }`)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(config.MaskedPaths, "/run/harn.sock") {
		t.Error("tasks whose roots show /run can reach the socket")
	}
}

// A job's text never becomes a field.
func TestRefusedField(t *testing.T) {
	for text, want := range map[string]string{
		`capability_policy: workspace_roots[0]: root "x" does not exist`: "workspace_roots",
		`capability_policy: something else`:                              "capability_policy",
		`plugin option state_dir: "/x" is writable`:                      "state_dir",
		`config: missing`:           "config",
		`"state_dir": no such file`: "other",
		`state_dirs: x`:             "other",
		``:                          "other",
		`user`:                      "user",
	} {
		if got := refusedField(fmt.Errorf("%s", text)); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}
