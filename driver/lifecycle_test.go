// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/nomad/client/lib/cgroupslib"
	"github.com/hashicorp/nomad/helper/uuid"
	"github.com/hashicorp/nomad/nomad/structs"
	"github.com/hashicorp/nomad/plugins/base"
	"github.com/hashicorp/nomad/plugins/drivers"
	"github.com/hashicorp/nomad/plugins/drivers/testutils"
	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/executor"
	"github.com/burin-labs/nomad-driver-harn/internal/drivertest"
	"github.com/burin-labs/nomad-driver-harn/internal/kerneltest"
	"github.com/burin-labs/nomad-driver-harn/policy"
	"github.com/burin-labs/nomad-driver-harn/sandbox"
)

// harness drives the driver through a real gRPC connection, as Nomad does.
type harness struct {
	*testutils.DriverHarness
	t      *testing.T
	driver *Driver
	config Config
}

func newHarness(t *testing.T, change func(*Config)) *harness {
	t.Helper()
	kerneltest.Landlock(t, 1)
	return newHarnessOnAnyKernel(t, change)
}

func newHarnessOnAnyKernel(t *testing.T, change func(*Config)) *harness {
	t.Helper()
	kerneltest.Root(t)
	kerneltest.Seccomp(t)
	base, err := os.MkdirTemp("/var/tmp", "harn-driver-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(base) })
	if err := os.Chmod(base, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", base) // where Nomad's harness makes its directories
	if err := drivertest.InitCgroups(); err != nil {
		t.Fatal(err)
	}
	h := &harness{t: t, config: Config{Settings: sandbox.Settings{StateDir: base + "/state"}}}
	if change != nil {
		change(&h.config)
	}
	h.connect()
	return h
}

// connect makes a new plugin, as after a crash of the one before.
func (h *harness) connect() {
	h.t.Helper()
	h.driver = New(h.t.Context(), testLogger(h.t))
	config := h.config
	if err := config.validate(); err != nil {
		h.t.Fatal(err)
	}
	h.driver.config = &config
	h.driver.countFor(&config)
	h.DriverHarness = testutils.NewDriverHarness(h.t, h.driver)
	connected := h.DriverHarness
	h.t.Cleanup(connected.Kill)
}

// task prepares a task as the client does: directories, logs, a cgroup.
func (h *harness) task(config TaskConfig) *drivers.TaskConfig {
	h.t.Helper()
	cfg := &drivers.TaskConfig{
		AllocID: uuid.Generate(),
		Name:    "t",
		JobName: "job",
		User:    "nobody",
		Env:     map[string]string{"GREETING": "hello"},
	}
	cfg.ID = cfg.AllocID + "/t/" + uuid.Short()
	life := cgroupslib.Factory(cfg.AllocID, cfg.Name, false)
	if err := life.Setup(); err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = life.Teardown() })
	cfg.Resources = &drivers.Resources{
		NomadResources: &structs.AllocatedTaskResources{},
		LinuxResources: &drivers.LinuxResources{CpusetCgroupPath: cgroupslib.LinuxResourcesPath(cfg.AllocID, cfg.Name, false)},
	}
	if err := cfg.EncodeConcreteDriverConfig(&config); err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(h.MkAllocDir(cfg, true))
	return cfg
}

func sh(script string) TaskConfig {
	return TaskConfig{Command: "/bin/bash", Args: []string{"-c", script}}
}

// start starts a task. It is destroyed at the end of the test.
func (h *harness) start(cfg *drivers.TaskConfig) *drivers.TaskHandle {
	h.t.Helper()
	handle, _, err := h.StartTask(cfg)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = h.driver.DestroyTask(cfg.ID, true) })
	return handle
}

func (h *harness) wait(id string) *drivers.ExitResult {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), 30*time.Second)
	defer cancel()
	ch, err := h.WaitTask(ctx, id)
	if err != nil {
		h.t.Fatal(err)
	}
	result, ok := <-ch
	if !ok || errors.Is(result.Err, context.DeadlineExceeded) {
		h.t.Fatalf("task %s never ended: %+v", id, result)
	}
	return result
}

// log waits until the task's log holds a text, and returns it.
func (h *harness) log(cfg *drivers.TaskConfig, stream, want string) string {
	h.t.Helper()
	file := filepath.Join(cfg.TaskDir().LogDir, cfg.Name+"."+stream+".0")
	var text []byte
	for range 18000 { // an emulated machine is slow
		text, _ = os.ReadFile(file)
		if strings.Contains(string(text), want) {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if !strings.Contains(string(text), want) {
		h.t.Errorf("no %q in %s:\n%s", want, stream, text)
	}
	return string(text)
}

func TestLifecycle(t *testing.T) {
	h := newHarness(t, nil)
	for _, tc := range []struct {
		script string
		want   drivers.ExitResult
	}{
		{"exit 0", drivers.ExitResult{}},
		{"exit 7", drivers.ExitResult{ExitCode: 7}},
		{"kill -9 $$", drivers.ExitResult{ExitCode: 137, Signal: 9}},
	} {
		cfg := h.task(sh("echo out $GREETING; echo err >&2; " + tc.script))
		h.start(cfg)
		if got := h.wait(cfg.ID); *got != tc.want {
			t.Errorf("%s: %+v", tc.script, got)
		}
		if got := h.wait(cfg.ID); *got != tc.want { // any number of times
			t.Errorf("%s, again: %+v", tc.script, got)
		}
		h.log(cfg, "stdout", "out hello\n")
		h.log(cfg, "stderr", "err\n")
		status, err := h.InspectTask(cfg.ID)
		if err != nil || status.State != drivers.TaskStateExited || status.ExitResult.ExitCode != tc.want.ExitCode ||
			status.CompletedAt.Before(status.StartedAt) {
			t.Errorf("%s: %+v, %v", tc.script, status, err)
		}
		if err := h.DestroyTask(cfg.ID, false); err != nil {
			t.Error(err)
		}
		if _, err := h.InspectTask(cfg.ID); err == nil {
			t.Error("a destroyed task can be inspected")
		}
	}
	if left, _ := os.ReadDir(h.config.StateDir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestInspectRunningTask(t *testing.T) {
	h := newHarness(t, nil)
	cfg := h.task(TaskConfig{Command: "/bin/sleep", Args: []string{"60"}, Policy: &policy.Policy{SideEffectLevel: "none"}})
	h.start(cfg)
	status, err := h.InspectTask(cfg.ID)
	if err != nil {
		t.Fatal(err)
	}
	if status.State != drivers.TaskStateRunning || time.Since(status.StartedAt) > time.Minute || !status.CompletedAt.IsZero() {
		t.Errorf("%+v", status)
	}
	name, err := os.ReadFile("/proc/" + status.DriverAttributes["pid"] + "/comm")
	if err != nil || string(name) != "sleep\n" {
		t.Errorf("pid %s is %q, %v", status.DriverAttributes["pid"], name, err)
	}
	if a := status.DriverAttributes; a["profile"] != "worktree" || a["network"] != "denied" || a["user"] != "nobody" || a["landlock_abi"] == "none" {
		t.Errorf("attributes %v", a)
	}
	if err := h.DestroyTask(cfg.ID, false); err == nil {
		t.Error("a running task was destroyed without force")
	}
	if err := h.DestroyTask(cfg.ID, true); err != nil {
		t.Error(err)
	}
}

// What every task may read is for the operator to say.
func TestSystemReadRoots(t *testing.T) {
	for name, tc := range map[string]struct {
		roots []string
		want  string
	}{
		"default":  {nil, "etc is there\n"},
		"narrowed": {[]string{"/usr", "/lib", "/lib64", "/bin"}, "no etc\n"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t, func(c *Config) { c.SystemReadRoots = tc.roots })
			cfg := h.task(sh(`if [ -e /etc/passwd ]; then echo etc is there; else echo no etc; fi`))
			h.start(cfg)
			if got := h.wait(cfg.ID); got.ExitCode != 0 {
				t.Errorf("%+v", got)
			}
			h.log(cfg, "stdout", tc.want)
		})
	}
}

// A task may remove its tmp directory, and start again.
func TestTmpIsMadeAgain(t *testing.T) {
	h := newHarness(t, nil)
	cfg := h.task(sh(`rmdir tmp; echo done`))
	h.start(cfg)
	h.wait(cfg.ID)
	if err := h.DestroyTask(cfg.ID, true); err != nil {
		t.Fatal(err)
	}
	cfg.ID += "2"
	h.start(cfg)
	if got := h.wait(cfg.ID); got.ExitCode != 0 {
		t.Errorf("%+v", got)
	}
	// A link in its place would become what it points to.
	tmp := filepath.Join(cfg.TaskDir().Dir, "tmp")
	_ = os.Remove(tmp) // the second run has probably done it
	if err := os.Symlink("/root", tmp); err != nil {
		t.Fatal(err)
	}
	cfg.ID += "3"
	_, _, err := h.StartTask(cfg)
	wantError(t, "tmp is a link", err, "mount source", "/tmp", "symbolic link")
}

func TestStop(t *testing.T) {
	h := newHarness(t, nil)
	const polite = `trap 'echo got TERM; exit 3' TERM; trap 'echo got USR1; exit 4' USR1; echo ready; while :; do sleep 0.01; done`
	const stubborn = `trap '' TERM INT; (trap '' TERM; setsid sleep 1000 & wait) & echo ready; while :; do sleep 0.01; done`
	for _, tc := range []struct {
		name, script, signal string
		timeout              time.Duration
		want                 drivers.ExitResult
	}{
		{"default", polite, "", 20 * time.Second, drivers.ExitResult{ExitCode: 3}},
		{"kill_signal", polite, "SIGUSR1", 20 * time.Second, drivers.ExitResult{ExitCode: 4}},
		{"unknown kill_signal", polite, "SIGFOO", 20 * time.Second, drivers.ExitResult{ExitCode: 3}},
		{"SIGKILL", polite, "SIGKILL", 20 * time.Second, drivers.ExitResult{ExitCode: 137, Signal: 9}},
		{"timeout", stubborn, "", 300 * time.Millisecond, drivers.ExitResult{ExitCode: 137, Signal: 9}},
	} {
		cfg := h.task(sh(tc.script))
		h.start(cfg)
		h.log(cfg, "stdout", "ready\n")
		pids := h.pids(cfg.ID)
		if err := h.StopTask(cfg.ID, tc.timeout, tc.signal); err != nil {
			t.Errorf("%s: %v", tc.name, err)
		}
		if got := h.wait(cfg.ID); *got != tc.want {
			t.Errorf("%s: %+v", tc.name, got)
		}
		for _, pid := range pids {
			if _, err := os.Stat(fmt.Sprintf("/proc/%d", pid)); err == nil {
				t.Errorf("%s: process %d is left running", tc.name, pid)
			}
		}
	}
}

func (h *harness) handle(id string) *taskHandle {
	handle, ok := h.driver.tasks.get(id)
	if !ok {
		h.t.Fatal("no such task")
	}
	return handle
}

func (h *harness) pids(id string) []int { return h.handle(id).pids() }

// The client cannot tell "unknown task" from other errors, and tries again for
// minutes: so that is not one.
func TestUnknownTask(t *testing.T) {
	h := newHarness(t, nil)
	const id = "none"
	if err := h.StopTask(id, time.Second, ""); err != nil {
		t.Errorf("stop: %v", err)
	}
	if err := h.DestroyTask(id, true); err != nil {
		t.Errorf("destroy: %v", err)
	}
	// Over gRPC the client gets the error by the channel.
	if ch, err := h.WaitTask(t.Context(), id); err == nil {
		if result := <-ch; result.Err == nil {
			t.Error("wait: no error")
		}
	}
	if _, err := h.InspectTask(id); err == nil {
		t.Error("inspect: no error")
	}
	if err := h.SignalTask(id, "SIGTERM"); err == nil {
		t.Error("signal: no error")
	}
	if _, err := h.ExecTask(id, []string{"true"}, time.Second); err == nil {
		t.Error("exec: no error")
	}
	if _, err := h.driver.TaskStats(t.Context(), id, time.Second); err == nil {
		t.Error("stats: no error")
	}
}

func TestSignal(t *testing.T) {
	h := newHarness(t, nil)
	cfg := h.task(sh(`trap 'echo got HUP' HUP; echo ready; while :; do sleep 0.01; done`))
	h.start(cfg)
	h.log(cfg, "stdout", "ready\n")
	for _, name := range []string{"SIGHUP", "HUP"} {
		if err := h.SignalTask(cfg.ID, name); err != nil {
			t.Error(err)
		}
		h.log(cfg, "stdout", "got HUP\n")
	}
	wantError(t, "unknown signal", h.SignalTask(cfg.ID, "SIGFOO"), `"SIGFOO"`)
}

// recovered is the handle as Nomad gives it back after a restart of the agent:
// from its database, which has the exported fields only.
func recovered(t *testing.T, handle *drivers.TaskHandle) *drivers.TaskHandle {
	t.Helper()
	var data []byte
	if err := base.MsgPackEncode(&data, handle); err != nil {
		t.Fatal(err)
	}
	var stored drivers.TaskHandle
	if err := base.MsgPackDecode(data, &stored); err != nil {
		t.Fatal(err)
	}
	if err := stored.Config.DecodeDriverConfig(&TaskConfig{}); err == nil {
		t.Fatal("the config block survives: this test shows nothing")
	}
	return &stored
}

func TestRecover(t *testing.T) {
	h := newHarness(t, nil)
	running := h.task(sh(`echo ready; while [ ! -e local/go ]; do sleep 0.01; done; exit 5`))
	ended := h.task(sh(`exit 6`))
	lost := h.task(sh(`sleep 1000`))
	handles := map[string]*drivers.TaskHandle{}
	for _, cfg := range []*drivers.TaskConfig{running, ended, lost} {
		handles[cfg.ID] = recovered(t, h.start(cfg))
	}
	h.wait(ended.ID)
	before, err := h.InspectTask(running.ID)
	if err != nil {
		t.Fatal(err)
	}
	h.connect()
	for _, cfg := range []*drivers.TaskConfig{running, ended} {
		for range 2 { // twice is no mistake
			if err := h.RecoverTask(handles[cfg.ID]); err != nil {
				t.Fatal(err)
			}
		}
	}
	if after, err := h.InspectTask(running.ID); err != nil || after.State != drivers.TaskStateRunning ||
		!after.StartedAt.Equal(before.StartedAt) || after.DriverAttributes["pid"] != before.DriverAttributes["pid"] {
		t.Errorf("recovered %+v, %v, was %+v", after, err, before)
	}
	if got := h.wait(ended.ID); got.ExitCode != 6 || got.Err != nil {
		t.Errorf("ended meanwhile: %+v", got)
	}
	// All else works as well.
	result, err := h.ExecTask(running.ID, []string{"/bin/sh", "-c", "echo $GREETING; touch local/go"}, 10*time.Second)
	if err != nil || string(result.Stdout) != "hello\n" {
		t.Errorf("exec: %+v, %v", result, err)
	}
	if got := h.wait(running.ID); got.ExitCode != 5 {
		t.Errorf("running: %+v", got)
	}

	// Without its records, a task cannot be recovered; and nothing of it is left.
	handle, _ := h.driver.tasks.get(lost.ID)
	if handle != nil {
		t.Fatal("the new plugin knows the task already")
	}
	var state TaskState
	if err := handles[lost.ID].GetDriverState(&state); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(state.StateDir + "/started"); err != nil {
		t.Fatal(err)
	}
	wantError(t, "lost", h.RecoverTask(handles[lost.ID]), lost.ID, "not started")
	if pids, ok := state.Cgroup.PIDs(); !ok || len(pids) > 0 {
		t.Errorf("left running: %v", pids)
	}
	if _, err := os.Stat(state.StateDir); err == nil {
		t.Error("its records are left")
	}
	// The same if all records are gone.
	forgotten := h.task(sh(`sleep 1000`))
	handle2 := recovered(t, h.start(forgotten))
	if err := handle2.GetDriverState(&state); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(state.StateDir); err != nil {
		t.Fatal(err)
	}
	h.connect()
	wantError(t, "forgotten", h.RecoverTask(handle2), forgotten.ID, "not started")
	if pids, ok := state.Cgroup.PIDs(); !ok || len(pids) > 0 {
		t.Errorf("left running: %v", pids)
	}
	wantError(t, "nil handle", h.driver.RecoverTask(nil), "no handle")
	other := *handles[lost.ID]
	other.Version = 99
	wantError(t, "version", h.RecoverTask(&other), "version 99")
}

// After a crash of the plugin during StartTask, Nomad calls it again.
func TestStartTwice(t *testing.T) {
	h := newHarness(t, nil)
	cfg := h.task(sh(`echo start; while :; do sleep 0.01; done`))
	h.start(cfg)
	first, err := h.InspectTask(cfg.ID)
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = h.StartTask(cfg)
	wantError(t, "same plugin", err, "already started")
	h.connect()
	h.start(cfg)
	again, err := h.InspectTask(cfg.ID)
	if err != nil || again.DriverAttributes["pid"] != first.DriverAttributes["pid"] {
		t.Errorf("started again: %+v, %v, was %+v", again, err, first)
	}
	if text := h.log(cfg, "stdout", "start\n"); strings.Count(text, "start") != 1 {
		t.Errorf("log %q", text)
	}
	// What an attempt left that did not come to start is cleared away.
	cfg = h.task(sh(`exit 8`))
	dir := recordsDir(h.config.StateDir, cfg.AllocID, cfg.Name, cfg.ID)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	h.start(cfg)
	if got := h.wait(cfg.ID); got.ExitCode != 8 {
		t.Errorf("%+v", got)
	}
}

func TestRefusedTasksAreNotRetried(t *testing.T) {
	h := newHarness(t, func(c *Config) {
		c.Ceiling = &policy.Policy{ReadOnlyRoots: []string{"/srv"}, Capabilities: map[string][]string{"workspace": {"read_text", "write_text"}}}
	})
	for _, tc := range []struct {
		name   string
		config TaskConfig
		change func(*drivers.TaskConfig)
		want   []string
	}{
		{"no command", TaskConfig{}, nil, []string{"command"}},
		{"command not found", TaskConfig{Command: "no-such-program"}, nil, []string{"command", "no-such-program", "PATH"}},
		{"command not executable", TaskConfig{Command: "/etc/passwd"}, nil, []string{"/etc/passwd", "not executable"}},
		{"command outside", TaskConfig{Command: "/var/lib/dpkg/info/bash.postinst"}, nil, []string{"outside of every root", "/var/lib/dpkg/info"}},
		{"missing root", TaskConfig{Command: "/bin/true", Policy: &policy.Policy{WorkspaceRoots: []string{"none"}}}, nil, []string{"workspace_roots[0]", `"none"`, "does not exist"}},
		{"ceiling: root", TaskConfig{Command: "/bin/true", Policy: &policy.Policy{ReadOnlyRoots: []string{"/var/tmp"}}}, nil, []string{"read_only_roots", "/var/tmp", "ceiling", "/srv"}},
		{"ceiling: operation", TaskConfig{Command: "/bin/true", Policy: &policy.Policy{Capabilities: map[string][]string{"workspace": {"delete"}}}}, nil, []string{"workspace.delete", "ceiling"}},
		{"root user", TaskConfig{Command: "/bin/true"}, func(c *drivers.TaskConfig) { c.User = "root" }, []string{"user", "allow_root"}},
		{"work_dir", TaskConfig{Command: "/bin/true", WorkDir: "/var/lib"}, nil, []string{"work_dir", "/var/lib", "outside"}},
		{"cgroup", TaskConfig{Command: "/bin/true"}, func(c *drivers.TaskConfig) { c.Name = "u" }, []string{"cgroup"}},
	} {
		cfg := h.task(tc.config)
		if tc.change != nil {
			tc.change(cfg)
		}
		if tc.name == "cgroup" {
			cfg.Name, cfg.Resources.LinuxResources.CpusetCgroupPath = "t", "/sys/fs/cgroup/none"
		}
		_, _, err := h.StartTask(cfg)
		wantError(t, tc.name, err, tc.want...)
		if structs.IsRecoverable(err) {
			t.Errorf("%s: Nomad would start the task again", tc.name)
		}
	}
	if left, _ := os.ReadDir(h.config.StateDir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestExecConformance(t *testing.T) {
	h := newHarness(t, nil)
	cfg := h.task(sh("while :; do sleep 1; done"))
	h.start(cfg)
	connected := testutils.NewDriverHarness(t, flushing{h.driver})
	t.Cleanup(connected.Kill)
	testutils.ExecTaskStreamingConformanceTests(t, connected, cfg.ID)
}

// flushing waits until all output has been taken, as Nomad's plugin server does
// and its harness does not: Write returns once the reader has come back for more.
type flushing struct{ *Driver }

func (f flushing) ExecTaskStreaming(ctx context.Context, taskID string, opts *drivers.ExecOptions) (*drivers.ExitResult, error) {
	result, err := f.Driver.ExecTaskStreaming(ctx, taskID, opts)
	_, _ = opts.Stdout.Write(nil)
	_, _ = opts.Stderr.Write(nil)
	return result, err
}

func TestExecTask(t *testing.T) {
	h := newHarness(t, nil)
	cfg := h.task(TaskConfig{
		Command: "/bin/sleep", Args: []string{"1000"},
		Policy: &policy.Policy{SideEffectLevel: "none", Capabilities: map[string][]string{"workspace": {"read_text"}}},
	})
	h.start(cfg)
	run := func(cmd ...string) *drivers.ExecTaskResult {
		t.Helper()
		result, err := h.ExecTask(cfg.ID, cmd, 10*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		return result
	}
	// A command is looked up in the task's PATH, and confined as the task is.
	if r := run("sh", "-c", "pwd; echo $GREETING; exit 9"); r.ExitResult.ExitCode != 9 || !strings.HasSuffix(string(r.Stdout), "\nhello\n") {
		t.Errorf("%+v %q", r.ExitResult, r.Stdout)
	}
	if r := run("bash", "-c", "echo x > local/file"); r.ExitResult.ExitCode == 0 || !strings.Contains(string(r.Stdout), "Permission denied") {
		t.Errorf("writing: %+v %q", r.ExitResult, r.Stdout)
	}
	if r := run("bash", "-c", "echo x > /dev/tcp/127.0.0.1/1"); !strings.Contains(string(r.Stdout), "Operation not permitted") {
		t.Errorf("network: %+v %q", r.ExitResult, r.Stdout)
	}
	if r := run("sh", "-c", "kill -KILL $$"); r.ExitResult.Signal != 9 || r.ExitResult.ExitCode != 137 {
		t.Errorf("%+v", r.ExitResult)
	}
	// Of a long output the end is kept.
	if r := run("sh", "-c", "seq 1 100000"); len(r.Stdout) != checkBufSize || !strings.HasSuffix(string(r.Stdout), "\n100000\n") {
		t.Errorf("%d bytes of output", len(r.Stdout))
	}
	for _, cmd := range [][]string{nil, {""}, {"no-such-program"}, {"/etc/passwd"}, {"sh", "a\x00b"}} {
		if r, err := h.ExecTask(cfg.ID, cmd, 10*time.Second); err == nil {
			t.Errorf("%q: %+v", cmd, r)
		}
	}
	start := time.Now()
	if _, err := h.ExecTask(cfg.ID, []string{"sleep", "1000"}, 200*time.Millisecond); err == nil {
		t.Error("no error after the timeout")
	}
	if time.Since(start) > 20*time.Second {
		t.Error("the timeout does not end the command")
	}
	pids := h.pids(cfg.ID)
	if len(pids) != 1 {
		t.Errorf("processes after all sessions: %v, want the task's only", pids)
	}
}

func TestStats(t *testing.T) {
	h := newHarness(t, nil)
	cfg := h.task(sh(`a=$(head -c 30000000 /dev/zero | tr '\0' x); echo ready; while :; do :; done`))
	h.start(cfg)
	h.log(cfg, "stdout", "ready\n")
	ctx, cancel := context.WithCancel(t.Context())
	ch, err := h.TaskStats(ctx, cfg.ID, 300*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	first := <-ch // at once
	second := <-ch
	// A busy machine may not run the task at all between two samples.
	for range 100 {
		if second == nil || second.ResourceUsage.CpuStats.Percent >= 5 {
			break
		}
		second = <-ch
	}
	cancel()
	if first == nil || second == nil || second.Timestamp <= first.Timestamp {
		t.Fatalf("%+v, %+v", first, second)
	}
	memory, cpu := second.ResourceUsage.MemoryStats, second.ResourceUsage.CpuStats
	if memory.RSS < 25<<20 || memory.RSS > 500<<20 || memory.Usage < memory.RSS {
		t.Errorf("memory %+v", memory)
	}
	// One busy loop, on a machine that may be busy with other tests.
	if cpu.Percent < 5 || cpu.Percent > 150 || cpu.UserMode <= 0 {
		t.Errorf("cpu %+v", cpu)
	}
	if len(second.Pids) != 1 {
		t.Errorf("processes %v", second.Pids)
	}
	for _, usage := range second.Pids {
		if usage.MemoryStats.RSS < 25<<20 || usage.CpuStats.Percent < 5 {
			t.Errorf("process: %+v %+v", usage.MemoryStats, usage.CpuStats)
		}
	}
	// Subscribers share what has just been read.
	read := h.handle(cfg.ID).meter.Read(0)
	if h.handle(cfg.ID).meter.Read(time.Hour) != read {
		t.Error("it was read twice")
	}
	if h.handle(cfg.ID).meter.Read(0) == read {
		t.Error("what is too old was not read again")
	}
	if err := h.DestroyTask(cfg.ID, true); err != nil {
		t.Fatal(err)
	}
}

func TestEvents(t *testing.T) {
	h := newHarness(t, nil)
	events, err := h.TaskEvents(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond) // until the server has subscribed
	cfg := h.task(TaskConfig{Command: "/bin/true", Policy: &policy.Policy{SideEffectLevel: "none", Capabilities: map[string][]string{"git": {"get_diff"}}}})
	h.start(cfg)
	// Two: the last one is shown first.
	for _, wants := range [][]string{
		{"Notes: ", "Capability git is not enforced by the kernel."},
		{"Confined: profile worktree, network denied", "Landlock ABI", "system calls denied (baseline 18, always 11, "},
	} {
		select {
		case event := <-events:
			for _, want := range wants {
				if !strings.Contains(event.Message, want) {
					t.Errorf("%q does not say %q", event.Message, want)
				}
			}
			if event.TaskID != cfg.ID || event.AllocID != cfg.AllocID || event.TaskName != cfg.Name {
				t.Errorf("%+v", event)
			}
			if strings.HasPrefix(event.Message, "Confined: ") && len(event.Message) > 250 {
				t.Errorf("%d characters: %s", len(event.Message), event.Message)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("no event")
		}
	}
}

func TestNotesAreSentences(t *testing.T) {
	for notes, want := range map[string]string{
		"before ABI 9 there are pairs; none with a name|not passed on, because: [\"A\"]": "Before ABI 9 there are pairs; none with a name. Not passed on, because: [\"A\"].",
		"workspace_roots: \"x\" belongs to y|HOME is \"x\"":                              "workspace_roots: \"x\" belongs to y. HOME is \"x\".",
		"a full stop.": "A full stop.",
	} {
		if got := sentences(strings.Split(notes, "|")); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// A start of which Nomad got no handle, since plugin or agent were killed
// during it, is found by the next start of the same task, which has another ID.
func TestStrayIsReplaced(t *testing.T) {
	for name, crash := range map[string]bool{"plugin killed": true, "agent killed": false} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t, nil)
			cfg := h.task(sh(`echo first; exec sleep 1000`))
			h.start(cfg)
			stray := recordsDir(h.config.StateDir, cfg.AllocID, cfg.Name, cfg.ID)
			other := h.task(sh(`exec sleep 1000`)) // another task's, which is not to be touched
			var otherState TaskState
			if err := h.start(other).GetDriverState(&otherState); err != nil {
				t.Fatal(err)
			}
			if crash {
				h.connect()
			}
			next := cfg.Copy()
			next.ID = cfg.AllocID + "/" + cfg.Name + "/" + uuid.Short()
			config := sh(`exit 9`)
			if err := next.EncodeConcreteDriverConfig(&config); err != nil {
				t.Fatal(err)
			}
			h.start(next)
			if got := h.wait(next.ID); got.ExitCode != 9 || got.Err != nil {
				t.Errorf("%+v", got)
			}
			if _, err := os.Stat(stray); err == nil {
				t.Error("the records of the stray are left")
			}
			if _, ok := h.driver.tasks.get(cfg.ID); ok {
				t.Error("the stray is still known")
			}
			if task, err := executor.Attach(other.ID, otherState.StateDir, otherState.Cgroup.Own()); err != nil {
				t.Error(err)
			} else {
				select {
				case <-task.Done():
					t.Error("another allocation's task was killed")
				default:
				}
			}
			if !crash {
				return
			}
			if err := h.DestroyTask(other.ID, true); err != nil {
				t.Error(err)
			}
		})
	}
}

// While nobody can read whose the records of an earlier start are, there is no next one:
// both would run.
func TestStrayThatCannotBeRead(t *testing.T) {
	h := newHarness(t, nil)
	cfg := h.task(sh(`exec sleep 1000`))
	var state TaskState
	if err := h.start(cfg).GetDriverState(&state); err != nil {
		t.Fatal(err)
	}
	h.connect()
	next := cfg.Copy()
	next.ID = cfg.AllocID + "/" + cfg.Name + "/" + uuid.Short()
	config := sh(`exit 9`)
	check(t, next.EncodeConcreteDriverConfig(&config))
	record := filepath.Join(state.StateDir, "owner")
	check(t, os.Chmod(record, 0o666)) // others could have written it
	_, _, err := h.StartTask(next)
	wantError(t, "not readable", err, "an earlier start of this task may run", record)
	task, err := executor.Attach(cfg.ID, state.StateDir, state.Cgroup.Own())
	check(t, err)
	check(t, os.Chmod(record, 0o600))
	h.start(next)
	<-task.Done()
	if got := h.wait(next.ID); got.ExitCode != 9 || got.Err != nil {
		t.Errorf("%+v", got)
	}
	h.wantNothingLeft(&TaskState{StateDir: state.StateDir})
}

// DestroyTask finds tasks that this process does not know.
func TestDestroyUnrecovered(t *testing.T) {
	h := newHarness(t, nil)
	cfg := h.task(sh(`exec sleep 1000`))
	handle := h.start(cfg)
	var state TaskState
	if err := handle.GetDriverState(&state); err != nil {
		t.Fatal(err)
	}
	h.connect()
	before := pidfds(t)
	for range 5 {
		wantError(t, "running", h.DestroyTask(cfg.ID, false), cfg.ID, "is running")
	}
	if after := pidfds(t); after > before {
		t.Errorf("%d handles of processes are open, %d were before", after, before)
	}
	if err := h.DestroyTask(cfg.ID, true); err != nil {
		t.Fatal(err)
	}
	h.wantNothingLeft(&state)
	for _, id := range []string{cfg.ID, "no/such/task", "../../etc"} {
		if err := h.DestroyTask(id, true); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
}

// pidfds is how many handles of processes this process has open.
func pidfds(t *testing.T) (n int) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	check(t, err)
	for _, entry := range entries {
		name, _ := os.Readlink("/proc/self/fd/" + entry.Name())
		if strings.Contains(name, "pidfd") {
			n++
		}
	}
	return n
}

func (h *harness) wantNothingLeft(state *TaskState) {
	h.t.Helper()
	if pids, ok := state.Cgroup.PIDs(); ok && len(pids) > 0 {
		h.t.Errorf("left running: %v", pids)
	}
	for _, path := range state.Cgroup.Made {
		if _, err := os.Stat(path); err == nil {
			h.t.Errorf("cgroup %s is left", path)
		}
	}
	if left, _ := filepath.Glob(state.StateDir + "*"); len(left) > 0 {
		h.t.Errorf("left: %v", left)
	}
}

// The sweep removes what Nomad has forgotten, in its second round, and nothing
// else.
func TestSweep(t *testing.T) {
	h := newHarness(t, nil)
	start := func() (*drivers.TaskConfig, TaskState) {
		cfg := h.task(sh(`exec sleep 1000`))
		var state TaskState
		if err := h.start(cfg).GetDriverState(&state); err != nil {
			t.Fatal(err)
		}
		return cfg, state
	}
	unrecoveredTask, unrecovered := start() // Nomad has not asked for it yet
	forgotten, forgottenState := start()
	unmounted, unmountedState := start()
	h.connect()
	known, knownState := start()

	// The clients of these have removed their directories; that of the last has
	// lost a whole file system.
	setAllocDir := func(state *TaskState, cfg *drivers.TaskConfig, dir string) {
		t.Helper()
		o := newOwner(cfg, *state)
		o.AllocDir = filepath.Join(dir, cfg.AllocID)
		if err := executor.Reserve(state.StateDir, o); err != nil {
			t.Fatal(err)
		}
	}
	setAllocDir(&forgottenState, forgotten, filepath.Dir(h.config.StateDir))
	setAllocDir(&knownState, known, filepath.Dir(h.config.StateDir))
	setAllocDir(&unmountedState, unmounted, filepath.Dir(h.config.StateDir)+"/none")
	// What killed plugins leave, and what is not ours.
	dirs := map[string]bool{"empty": false, "unwritten/owner.new": false, "x-t-1.removed/exit": false, "foreign/supervisor": true}
	for name := range dirs {
		path := filepath.Join(h.config.StateDir, name)
		if filepath.Dir(name) == "." {
			path += "/"
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if filepath.Dir(name) != "." {
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}

	var s sweep
	h.driver.sweep(&s)
	if _, err := os.Stat(forgottenState.StateDir); err != nil {
		t.Errorf("swept before Nomad had time to recover: %v", err)
	}
	h.driver.sweep(&s)
	h.wantNothingLeft(&forgottenState)
	for name, kept := range dirs {
		if _, err := os.Stat(filepath.Join(h.config.StateDir, name)); (err == nil) != kept {
			t.Errorf("%s: %v, want it kept: %v", name, err, kept)
		}
	}
	for name, kept := range map[string]struct {
		*drivers.TaskConfig
		*TaskState
	}{"unrecovered": {unrecoveredTask, &unrecovered}, "known": {known, &knownState}, "not mounted": {unmounted, &unmountedState}} {
		task, err := executor.Attach(kept.ID, kept.StateDir, kept.Cgroup.Own())
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		select {
		case <-task.Done():
			t.Errorf("%s: killed", name)
		default:
		}
		if err := task.Remove(); err != nil {
			t.Error(err)
		}
	}
}

// A task of an earlier boot is not recovered, so that Nomad starts it anew,
// unless it had ended before: then it is known how.
func TestRecoverAfterBoot(t *testing.T) {
	h := newHarness(t, nil)
	lost := h.task(sh(`exec sleep 1000`))
	ended := h.task(sh(`exit 6`))
	for _, cfg := range []*drivers.TaskConfig{lost, ended} {
		handle := recovered(t, h.start(cfg))
		var state TaskState
		if err := handle.GetDriverState(&state); err != nil {
			t.Fatal(err)
		}
		if cfg == ended {
			h.wait(cfg.ID)
		} else if err := unix.Kill(state.Supervisor.PID, unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		h.wait(cfg.ID)
		file := filepath.Join(state.StateDir, "supervisor")
		record, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		other := strings.ReplaceAll(string(record), executor.BootID(), uuid.Generate())
		if err := os.WriteFile(file, []byte(other), 0o600); err != nil {
			t.Fatal(err)
		}
		h.connect()
		err = h.RecoverTask(handle)
		if cfg == ended {
			if err != nil || h.wait(cfg.ID).ExitCode != 6 {
				t.Errorf("ended before the boot: %v", err)
			}
			continue
		}
		wantError(t, "lost", err, lost.ID, "booted")
		h.wantNothingLeft(&state)
	}
}

// What is ours costs the task nothing: of its cgroups only its own processes
// are members. And its supervisor reaps what loses its parent.
func TestOnlyTheTaskIsCharged(t *testing.T) {
	h := newHarness(t, nil)
	cfg := h.task(sh(`for i in 1 2 3 4 5; do (/bin/true & /bin/true &) ; done; echo ready; exec sleep 1000`))
	var state TaskState
	if err := h.start(cfg).GetDriverState(&state); err != nil {
		t.Fatal(err)
	}
	h.log(cfg, "stdout", "ready")
	if len(state.Cgroup.Paths) == 0 {
		t.Fatal("the task has no cgroup: this test shows nothing")
	}
	for controller, dir := range state.Cgroup.Paths {
		if controller == "cpuset" { // all tasks share it
			continue
		}
		var procs string
		for range 500 { // until the orphans are reaped
			text, err := os.ReadFile(dir + "/cgroup.procs")
			if err != nil {
				t.Fatal(err)
			}
			if procs = strings.TrimSpace(string(text)); !strings.Contains(procs, "\n") {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		task, _ := h.driver.tasks.get(cfg.ID)
		if procs != strconv.Itoa(task.task.PID()) {
			t.Errorf("%s: processes %q, want the task's %d alone, supervisor %d", controller, procs, task.task.PID(), state.Supervisor.PID)
		}
	}
	// In the task's own view: process 1 is the supervisor, and none is a zombie.
	result, err := h.ExecTask(cfg.ID, []string{"/bin/sh", "-c", "grep -l 'State:.Z' /proc/[0-9]*/status; true"}, 10*time.Second)
	if err != nil || string(result.Stdout) != "" {
		t.Errorf("zombies: %+v, %v", result, err)
	}
}
