// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package executor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// halfStarted is a start that a plugin has begun: its supervisor waits for the
// plan.
type halfStarted struct {
	dir        string
	supervisor *waiting
	passed     []int
	inherited  inherited
}

func (f *fixture) halfStart(id string, plan *Plan) *halfStarted {
	f.t.Helper()
	h := &halfStarted{dir: f.dir + "/half"}
	if err := Reserve(h.dir, "owner"); err != nil {
		f.t.Fatal(err)
	}
	state, err := os.OpenRoot(h.dir)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { state.Close() })
	if err := writeRecord(state, confinementRecord, plan.Confinement); err != nil {
		f.t.Fatal(err)
	}
	stateDir, err := os.Open(h.dir)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { stateDir.Close() })
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { null.Close() })
	b, err := openInheritable(plan)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(b.close)
	h.passed, h.inherited = b.pass([]int{int(stateDir.Fd()), int(null.Fd()), int(null.Fd()), int(null.Fd())})
	if h.supervisor, err = spawnSupervisor(id, plan); err != nil {
		f.t.Fatal(err)
	}
	if err := writeRecord(state, supervisorRecord, h.supervisor.Identity); err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = Remove("half", h.dir, "") })
	return h
}

// finish gives the plan, and attaches to the task that has started by it.
func (h *halfStarted) finish(t *testing.T, plan *Plan) *Task {
	t.Helper()
	encoded, err := instruct("half", plan, h.inherited)
	if err != nil {
		t.Fatal(err)
	}
	if err := sendMessage(h.supervisor.socket, encoded, h.passed); err != nil {
		t.Fatal(err)
	}
	defer h.supervisor.socket.Close()
	AwaitStart("half", h.dir)
	task, err := Attach("half", h.dir, "")
	if err != nil {
		t.Fatal(err)
	}
	return task
}

// A plugin that is killed during a start may have given the plan already: the
// program is about to execute, and the next start must not be its second.
func TestAwaitStart(t *testing.T) {
	f := newFixture(t)
	plan := f.plan("echo start >> starts; while [ ! -e go ]; do sleep 0.01; done; exit 4")
	h := f.halfStart("half", plan)
	if _, err := Attach("half", h.dir, ""); !errors.Is(err, ErrNotStarted) {
		t.Fatalf("%v, want ErrNotStarted", err)
	}
	task := h.finish(t, plan)
	if err := os.WriteFile(f.workspace+"/go", nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if exit, err := task.Exit(); err != nil || exit.Code != 4 {
		t.Errorf("%+v, %v, want 4", exit, err)
	}
	if starts, _ := os.ReadFile(f.workspace + "/starts"); string(starts) != "start\n" {
		t.Errorf("starts: %q", starts)
	}
}

// What is sent to a supervisor that has not started its task yet does not end it.
func TestSignalsDuringAStart(t *testing.T) {
	f := newFixture(t)
	plan := f.plan("exit 4")
	h := f.halfStart("half", plan)
	ready := func() bool { // it waits for its plan
		fds, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", h.supervisor.PID))
		return slices.ContainsFunc(fds, func(fd string) bool {
			name, _ := os.Readlink(fd)
			return name == "anon_inode:[signalfd]"
		})
	}
	for end := time.Now().Add(10 * time.Second); !ready(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the supervisor takes no signals")
		}
	}
	for _, sig := range []unix.Signal{unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGABRT, unix.SIGTERM} {
		if err := h.supervisor.signal(sig); err != nil {
			t.Fatal(err)
		}
	}
	task := h.finish(t, plan)
	if exit, err := task.Exit(); err != nil || exit.Code != 4 {
		t.Errorf("%+v, %v, want 4", exit, err)
	}
}

// A supervisor that never gets its plan ends by itself: who asks need not wait
// for what cannot come.
func TestAwaitStartWithoutAPlan(t *testing.T) {
	f := newFixture(t)
	whole, err := message(f.plan("true"))
	if err != nil {
		t.Fatal(err)
	}
	for name, plan := range map[string][]byte{"none": nil, "half": whole[:len(whole)/2]} {
		h := f.halfStart("half", f.plan("true"))
		if _, err := h.supervisor.socket.Write(plan); err != nil {
			t.Fatal(err)
		}
		h.supervisor.socket.Close()
		AwaitStart("half", h.dir)
		if _, err := Attach("half", h.dir, ""); !errors.Is(err, ErrNotStarted) {
			t.Errorf("%s: %v, want ErrNotStarted", name, err)
		}
		if err := h.supervisor.wait(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := Remove("half", h.dir, ""); err != nil {
			t.Error(err)
		}
	}
	AwaitStart("never", f.dir+"/never")
}

// On a full disk nothing starts, nothing of it is left, and the error says so.
// What was started before ends with its exit recorded.
func TestFullDisk(t *testing.T) {
	f := newFixture(t)
	if err := os.MkdirAll(f.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", f.dir, "tmpfs", 0, "size=256k"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(f.dir, unix.MNT_DETACH) })
	task := f.mustStart(f.plan("while [ ! -e go ]; do sleep 0.01; done; exit 4"))
	fill, err := os.Create(f.dir + "/fill")
	if err != nil {
		t.Fatal(err)
	}
	defer fill.Close()
	size := 0
	for err == nil {
		var n int
		n, err = fill.Write(make([]byte, 4096))
		size += n
	}
	// With room for more and more records, up to all of them.
	for free := 0; ; free++ {
		if err := fill.Truncate(int64(size - 4096*free)); err != nil {
			t.Fatal(err)
		}
		_ = os.Remove(f.workspace + "/started")
		again, err := f.start(f.plan("touch started; while :; do sleep 0.01; done"))
		if err == nil {
			if free == 0 {
				t.Error("a task has started on a full disk")
			}
			if err := again.Remove(); err != nil {
				t.Error(err)
			}
			break
		}
		if !strings.Contains(err.Error(), "state directory") || !errors.Is(err, unix.ENOSPC) && !strings.Contains(err.Error(), "no space left on device") {
			t.Fatalf("%d pages free: %v", free, err)
		}
		// Whether the program came to do anything is a matter of luck.
		if _, statErr := os.Stat(f.workspace + "/started"); statErr == nil || strings.Contains(err.Error(), "recording started") {
			t.Errorf("%d pages free: the program has executed, and was killed for want of a record", free)
		}
		if entries, _ := os.ReadDir(f.dir); len(entries) != 2 { // the running task's, and fill
			t.Fatalf("%d pages free: left behind: %v", free, entries)
		}
	}
	if err := os.WriteFile(f.workspace+"/go", nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if exit, err := task.Exit(); err != nil || exit.Code != 4 {
		t.Errorf("%+v, %v, want 4", exit, err)
	}
}
