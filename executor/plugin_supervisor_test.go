// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package executor

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
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
		ready.keep = false
		ready.Unlock()
		endReady()
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

// mustWait has a supervisor wait for a task like the plan's.
func mustWait(t *testing.T, plan *Plan) *waiting {
	t.Helper()
	makeReady(plan)
	w := ready.by[plan.Isolation.namespaces()]
	if w == nil {
		t.Fatal("no supervisor waits")
	}
	return w
}

// One that was killed while it waited refuses no task.
func TestReadySupervisorWasKilled(t *testing.T) {
	f := newFixture(t)
	keepReady(t)
	plan := f.plan("exit 3")
	w := mustWait(t, plan)
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

// One that was stopped while it waited, or that is killed while it is to take its plan,
// refuses no task and holds none up: another one is started.
func TestReadySupervisorThatTakesNothing(t *testing.T) {
	f := newFixture(t)
	keepReady(t)
	for name, tc := range map[string]struct {
		long   bool // more than a socket takes before it is read
		killed bool
	}{
		"stopped":                {},
		"stopped, a long plan":   {long: true},
		"killed":                 {killed: true},
		"killed, with long plan": {long: true, killed: true},
	} {
		t.Run(name, func(t *testing.T) {
			plan := f.plan("echo begun >> starts; exit 3")
			if tc.long {
				for range 5 {
					plan.Process.Env = append(plan.Process.Env, "LONG="+strings.Repeat("x", 100_000))
				}
			}
			w := mustWait(t, plan)
			if err := w.signal(unix.SIGSTOP); err != nil {
				t.Fatal(err)
			}
			if tc.killed {
				record := fmt.Sprintf("%s/%d/%s", f.dir, f.n+1, supervisorRecord)
				go func() {
					for end := time.Now().Add(10 * time.Second); !exists(record) && time.Now().Before(end); {
						time.Sleep(time.Millisecond)
					}
					_ = w.signal(unix.SIGKILL)
				}()
			}
			task := f.mustStart(plan)
			if exit, err := task.Exit(); err != nil || exit.Code != 3 {
				t.Errorf("%+v, %v, want 3", exit, err)
			}
			if task.runner == w.Identity {
				t.Error("it supervises the task")
			}
			if now, err := identify(w.PID); err == nil && now == w.Identity {
				t.Error("it is left")
			}
			if starts, _ := os.ReadFile(f.workspace + "/starts"); string(starts) != "begun\n" {
				t.Errorf("starts: %q", starts)
			}
			_ = os.Remove(f.workspace + "/starts")
		})
	}
}

// What supervisors that wait for other tasks take, no start lacks: here descriptors, of
// which this process may have so many.
func TestReadySupervisorsGiveWay(t *testing.T) {
	f := newFixture(t)
	keepReady(t)
	plan := f.plan("exit 3")
	w, err := newSupervisor("test", plan) // the first one opens what lasts
	if err != nil {
		t.Fatal(err)
	}
	w.end()
	other := func(change func(i *Isolation)) {
		p := f.plan("true")
		change(&p.Isolation)
		makeReady(p)
	}
	other(func(i *Isolation) { i.HostIPC = true })
	other(func(i *Isolation) { i.HostPID = true })
	other(func(i *Isolation) { i.HostPID, i.HostIPC = true, true })
	other(func(i *Isolation) { i.Network.Isolated = true })
	other(func(i *Isolation) { i.Network.Isolated, i.HostIPC = true, true })
	if len(ready.by) != 5 {
		t.Fatalf("%d supervisors wait, want 5", len(ready.by))
	}
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	var filled []int
	restore := sync.OnceFunc(func() {
		closeAll(filled...)
		_ = unix.Setrlimit(unix.RLIMIT_NOFILE, &before)
	})
	t.Cleanup(restore)
	const most = 200
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: most, Max: before.Max}); err != nil {
		t.Fatal(err)
	}
	for {
		fd, err := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			break
		}
		filled = append(filled, fd)
	}
	w, err = newSupervisor("test", plan)
	restore()
	if err != nil {
		t.Fatal(err)
	}
	w.end()
	if len(ready.by) != 0 {
		t.Errorf("%d supervisors wait, want none", len(ready.by))
	}
}
