// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/nomad/plugins/drivers"

	"github.com/burin-labs/nomad-driver-harn/internal/kerneltest"
	"github.com/burin-labs/nomad-driver-harn/landlock"
	"github.com/burin-labs/nomad-driver-harn/policy"
)

// withoutLandlock is a driver on a kernel that has none, and why it has none,
// as the driver says it.
func withoutLandlock(t *testing.T, fallback string) (*harness, string) {
	t.Helper()
	kerneltest.NoLandlock(t)
	_, err := landlock.Detect()
	if !errors.Is(err, landlock.ErrNotBuilt) && !errors.Is(err, landlock.ErrDisabled) {
		t.Fatalf("the kernel does not say why it has no Landlock: %v", err)
	}
	h := newHarnessOnAnyKernel(t, func(c *Config) { c.Fallback = fallback })
	return h, err.Error()
}

// wantRefused checks that a task does not start, and leaves nothing.
func (h *harness) wantRefused(config TaskConfig, parts ...string) {
	h.t.Helper()
	cfg := h.task(config)
	_, _, err := h.StartTask(cfg)
	wantError(h.t, "start", err, parts...)
	if left, _ := os.ReadDir(h.config.StateDir); len(left) > 0 {
		h.t.Errorf("left behind: %v", left)
	}
}

func TestNoLandlockEnforce(t *testing.T) {
	h, why := withoutLandlock(t, "enforce")
	node := h.driver.takeFingerprint()
	if node.Health != drivers.HealthStateUnhealthy || !strings.Contains(node.HealthDescription, why) ||
		!strings.Contains(node.HealthDescription, `fallback = "warn"`) {
		t.Errorf("%v %q, want unhealthy for: %s", node.Health, node.HealthDescription, why)
	}
	if abi, _ := node.Attributes["driver.harn.landlock.abi"].GetInt(); abi != 0 {
		t.Errorf("advertised ABI %d", abi)
	}
	if profiles, _ := node.Attributes["driver.harn.profiles"].GetString(); profiles != "" {
		t.Errorf("advertised profiles %q", profiles)
	}
	h.wantRefused(sh("echo started"), `sandbox_profile "worktree"`, why, `"enforce"`)
}

// os_hardened is refused whatever the fallback.
func TestNoLandlockHardened(t *testing.T) {
	for _, fallback := range []string{"enforce", "warn", "off"} {
		t.Run(fallback, func(t *testing.T) {
			h, why := withoutLandlock(t, fallback)
			config := sh("echo started")
			config.Policy = &policy.Policy{SandboxProfile: "os_hardened"}
			h.wantRefused(config, `sandbox_profile "os_hardened"`, why)
		})
	}
}

// Under "warn", a task has all but Landlock: seccomp, a root of its own, no
// capability; its sessions too. And an event says what is missing.
func TestNoLandlockWarn(t *testing.T) {
	h, why := withoutLandlock(t, "warn")
	node := h.driver.takeFingerprint()
	if profiles, _ := node.Attributes["driver.harn.profiles"].GetString(); node.Health != drivers.HealthStateHealthy || profiles != "worktree" {
		t.Errorf("%v %q, profiles %q, want healthy with worktree", node.Health, node.HealthDescription, profiles)
	}
	events, err := h.TaskEvents(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond) // until the server has subscribed
	const confined = `
		grep -e ^Seccomp: -e ^NoNewPrivs: -e ^CapEff: /proc/self/status
		bash -c ': > /dev/tcp/127.0.0.1/1' 2>&1 | grep -o 'socket: Operation not permitted'
		[ -e /var/lib ] || echo only its own root
		echo file > local/file && cat local/file; `
	const want = "CapEff:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\nsocket: Operation not permitted\nonly its own root\nfile\n"
	config := sh(confined + "echo ready; while :; do sleep 0.01; done")
	config.Policy = &policy.Policy{SideEffectLevel: "process_exec"}
	cfg := h.task(config)
	h.start(cfg)
	if log := h.log(cfg, "stdout", "ready\n"); log != want+"ready\n" {
		t.Errorf("the task: %q, want %q", log, want)
	}
	result, err := h.ExecTask(cfg.ID, []string{"/bin/bash", "-c", confined}, time.Minute)
	if err != nil || string(result.Stdout) != want {
		t.Errorf("a session: %+v, %v, want %q", result, err, want)
	}
	if status, err := h.InspectTask(cfg.ID); err != nil || status.DriverAttributes["landlock_abi"] != "none" {
		t.Errorf("%+v, %v", status, err)
	}
	for {
		select {
		case event := <-events:
			if strings.Contains(event.Message, "seccomp alone") && strings.Contains(event.Message, why) {
				return
			}
		case <-time.After(30 * time.Second):
			t.Fatal("no event says that Landlock is missing")
		}
	}
}

func TestNoLandlockOff(t *testing.T) {
	h, _ := withoutLandlock(t, "off")
	cfg := h.task(sh("grep ^Seccomp: /proc/self/status; exit 3"))
	h.start(cfg)
	if got := h.wait(cfg.ID); got.ExitCode != 3 {
		t.Errorf("%+v", got)
	}
	h.log(cfg, "stdout", "Seccomp:\t0\n")
}

// A task's life is the same without Landlock.
func TestNoLandlockLifecycle(t *testing.T) {
	h, _ := withoutLandlock(t, "warn")
	cfg := h.task(sh(`trap 'echo got HUP' HUP; trap 'exit 4' TERM; echo ready; while :; do sleep 0.01; done`))
	handle := recovered(t, h.start(cfg))
	h.log(cfg, "stdout", "ready\n")
	h.connect() // the plugin after a restart
	if err := h.RecoverTask(handle); err != nil {
		t.Fatal(err)
	}
	if err := h.SignalTask(cfg.ID, "SIGHUP"); err != nil {
		t.Error(err)
	}
	h.log(cfg, "stdout", "got HUP\n")
	if err := h.StopTask(cfg.ID, 20*time.Second, ""); err != nil {
		t.Error(err)
	}
	if got := h.wait(cfg.ID); got.ExitCode != 4 {
		t.Errorf("%+v", got)
	}
	// What ignores signals and has left its session, by the cgroup.
	stubborn := h.task(sh(`trap '' TERM; (trap '' TERM; setsid sleep 1000) & echo ready; while :; do sleep 0.01; done`))
	h.start(stubborn)
	h.log(stubborn, "stdout", "ready\n")
	pids := h.pids(stubborn.ID)
	if err := h.DestroyTask(stubborn.ID, true); err != nil {
		t.Error(err)
	}
	if len(pids) == 0 {
		t.Error("no processes")
	}
	for _, pid := range pids {
		if _, err := os.Stat(fmt.Sprintf("/proc/%d", pid)); err == nil {
			t.Errorf("process %d is left running", pid)
		}
	}
}
