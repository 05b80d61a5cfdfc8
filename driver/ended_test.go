// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/nomad/plugins/drivers"
	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/executor"
)

// What DestroyTask could not remove, as its disk was read-only for a while, others remove
// later; and its user is another task's at once, since nothing of it runs.
func TestDestroyThatFailsIsTriedAgain(t *testing.T) {
	for name, again := range map[string]func(h *harness, id string) error{
		"by the sweep": func(h *harness, _ string) error {
			var s sweep
			for range 2 {
				h.driver.sweep(&s)
			}
			return nil
		},
		"by another DestroyTask": func(h *harness, id string) error { return h.DestroyTask(id, true) },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t, nil)
			cfg := h.as(h.task(sh("exit 3")), "nomad-80125", 80125)
			var state TaskState
			check(t, h.start(cfg).GetDriverState(&state))
			h.wait(cfg.ID)
			// The allocation's directory is gone, as far as the record says.
			o := newOwner(cfg, state)
			o.AllocDir = filepath.Join(filepath.Dir(h.config.StateDir), cfg.AllocID)
			check(t, executor.Reserve(state.StateDir, o))

			dir := h.config.StateDir
			check(t, unix.Mount(dir, dir, "", unix.MS_BIND, ""))
			mounted := true
			unmount := func() {
				if mounted {
					check(t, unix.Unmount(dir, unix.MNT_DETACH))
				}
				mounted = false
			}
			t.Cleanup(unmount)
			check(t, unix.Mount("", dir, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""))
			wantError(t, "on a disk that cannot be written", h.DestroyTask(cfg.ID, true), "read-only")
			if _, err := os.Stat(state.StateDir); err != nil {
				t.Fatalf("the records are gone: %v", err)
			}
			unmount()
			other := h.as(h.task(sh("exit 7")), "nomad-80125", 80125)
			h.start(other)
			if got := h.wait(other.ID); got.ExitCode != 7 {
				t.Errorf("another task with the user: %+v", got)
			}
			check(t, again(h, cfg.ID))
			h.wantNothingLeft(&state)
		})
	}
}

// A task has ended when it has ended, even if what it was denied cannot be listed: its
// disk hangs.
func TestResultWaitsForNoDisk(t *testing.T) {
	h := newHarness(t, nil)
	cfg := h.task(sh("exit 3"))
	h.start(cfg)
	<-h.handle(cfg.ID).reported
	h.handle(cfg.ID).reported = make(chan struct{})
	if got := h.wait(cfg.ID); got.ExitCode != 3 {
		t.Errorf("%+v", got)
	}
}

// Nomad is told that a task had too little memory before it is told of its end: after
// that, it takes no event.
func TestWantOfMemoryIsToldBeforeTheEnd(t *testing.T) {
	h := newHarness(t, nil)
	cfg := h.task(sh("exit 3"))
	started := h.start(cfg)
	handle := recovered(t, started)
	h.wait(cfg.ID)
	var state TaskState
	check(t, started.GetDriverState(&state))
	record, err := json.Marshal(executor.Exit{Code: 137, Signal: 9, OOMKilled: true, At: time.Now()})
	check(t, err)
	check(t, os.WriteFile(filepath.Join(state.StateDir, "exit"), record, 0o600))

	h.connect()
	t.Cleanup(func() { _ = h.driver.DestroyTask(cfg.ID, true) })
	var told atomic.Bool
	h.driver.send = func(e *drivers.TaskEvent) error {
		time.Sleep(300 * time.Millisecond) // as somebody does who has other events to take
		told.Store(told.Load() || strings.HasPrefix(e.Message, "Out of memory: "))
		return nil
	}
	check(t, h.RecoverTask(handle))
	got := h.wait(cfg.ID)
	if early := !told.Load(); !got.OOMKilled || early {
		t.Errorf("%+v; Nomad was told of the end before it was told why: %t", got, early)
	}
}

// Cgroups v1 have a number for no limit.
func TestDescribeOOM(t *testing.T) {
	for limit, want := range map[uint64]bool{0: false, 32 << 20: true, 9223372036854771712: false, 1<<64 - 1: false} {
		if got := describeOOM(limit, 5<<20); strings.Contains(got, "limit is 32 MiB, the task used up to 5 MiB") != want || strings.Contains(got, "limit") != want {
			t.Errorf("%d: %q", limit, got)
		}
	}
}
