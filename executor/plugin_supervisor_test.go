// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package executor

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// commandLine is what ps(1) shows of a process.
func commandLine(t *testing.T, pid int) string {
	t.Helper()
	line, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	return string(line)
}

// keepReady is KeepReady until the end of the test.
func keepReady(t *testing.T) {
	KeepReady()
	t.Cleanup(func() {
		ready.Lock()
		defer ready.Unlock()
		ready.keep = false
		for kind, w := range ready.by {
			w.end()
			delete(ready.by, kind)
		}
	})
}

// A supervisor that was started before its task is that task's, by its name as well.
func TestReadySupervisor(t *testing.T) {
	f := newFixture(t)
	keepReady(t)
	plan := f.plan("exit 3")
	makeReady(plan)
	kind := plan.Isolation.namespaces()
	w := ready.by[kind]
	if w == nil {
		t.Fatal("no supervisor waits")
	}
	for end := time.Now().Add(10 * time.Second); commandLine(t, w.PID) == "" && time.Now().Before(end); {
		time.Sleep(time.Millisecond) // it has not executed its program yet
	}
	if line := commandLine(t, w.PID); line != supervisorName+"\x00"+readyID+"\x00" {
		t.Errorf("it shows as %q", line)
	}
	task := f.mustStart(f.plan("while [ ! -e go ]; do sleep 0.01; done; exit 3"))
	if task.runner != w.Identity {
		t.Errorf("process %v supervises the task, want %v", task.runner, w.Identity)
	}
	if line := commandLine(t, w.PID); strings.TrimRight(line, "\x00") != supervisorName+"\x00"+task.id {
		t.Errorf("it shows as %q, want the task's ID", line)
	}
	if _, err := Attach(task.id, task.dir, ""); err != nil {
		t.Errorf("the next plugin does not find it: %v", err)
	}
	if err := os.WriteFile(f.workspace+"/go", nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if exit, err := task.Exit(); err != nil || exit.Code != 3 {
		t.Errorf("%+v, %v, want 3", exit, err)
	}
}

// One that was killed while it waited refuses no task.
func TestReadySupervisorWasKilled(t *testing.T) {
	f := newFixture(t)
	keepReady(t)
	plan := f.plan("exit 3")
	makeReady(plan)
	w := ready.by[plan.Isolation.namespaces()]
	if w == nil {
		t.Fatal("no supervisor waits")
	}
	if err := w.signal(unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := w.wait(); err != nil {
		t.Fatal(err)
	}
	if exit, err := f.mustStart(plan).Exit(); err != nil || exit.Code != 3 {
		t.Errorf("%+v, %v, want 3", exit, err)
	}
}

// One whose plugin has ended before it had its plan ends itself. The next plugin, which
// finds it on record, can remove what there is.
func TestReadySupervisorWithoutAPlan(t *testing.T) {
	f := newFixture(t)
	h := f.halfStart(readyID, f.plan("true"))
	h.supervisor.socket.Close()
	if err := Remove("half", h.dir, ""); err != nil {
		t.Error(err)
	}
	if err := h.supervisor.wait(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(h.dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v: its records are left", err)
	}
}
