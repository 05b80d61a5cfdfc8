// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package executor

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// hold has a process stay, once it was killed, until release: as if it waited for a disk
// that does not answer. It is traced, and who traces it does not reap it. Nor does the
// first process of its PID namespace end before.
func hold(t *testing.T, pid int) (release func()) {
	t.Helper()
	held, end, ended := make(chan error), make(chan struct{}), make(chan struct{})
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends, and with it the tracing
		defer close(ended)
		held <- unix.PtraceSeize(pid)
		<-end
		for {
			var status unix.WaitStatus
			_, err := unix.Wait4(pid, &status, unix.WALL, nil)
			if err != nil && !errors.Is(err, unix.EINTR) || err == nil && (status.Exited() || status.Signaled()) {
				return
			}
		}
	}()
	if err := <-held; err != nil {
		t.Fatalf("tracing process %d: %v", pid, err)
	}
	release = sync.OnceFunc(func() {
		_ = unix.Kill(pid, unix.SIGKILL) // it is not reaped yet
		close(end)
		<-ended
	})
	t.Cleanup(release)
	return release
}

// held starts a task whose supervisor was killed and cannot end before release.
func (f *fixture) held() (task *running, release func()) {
	f.t.Helper()
	task = f.mustStart(f.plan("exec sleep 1000"))
	release = hold(f.t, task.PID())
	if err := task.supervisor.signal(unix.SIGKILL); err != nil {
		f.t.Fatal(err)
	}
	name := "/proc/" + strconv.Itoa(task.runner.PID) + "/cmdline"
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		if line, err := os.ReadFile(name); err != nil {
			f.t.Fatal(err)
		} else if len(line) == 0 {
			return task, release
		}
		if time.Now().After(end) {
			f.t.Fatal("the supervisor does not exit")
		}
	}
}

// A supervisor that has no command line any more, and has not ended, is found: for as long
// as it takes.
func TestSupervisorThatCannotEnd(t *testing.T) {
	f := newFixture(t)
	task, release := f.held()
	again, err := Attach(task.id, task.dir, "")
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-again.Done():
		t.Error("its task counts as ended")
	default:
	}
	release()
	if _, err := again.Exit(); !errors.Is(err, ErrLost) {
		t.Errorf("%v, want ErrLost", err)
	}
}

// Nobody waits without end for a process that cannot end: the error names it, and when it
// has ended, the next try succeeds.
func TestWhatCannotEndIsNotWaitedFor(t *testing.T) {
	f := newFixture(t)
	stays := func(what string, err error, pid int) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("process %d was killed", pid)) || !strings.Contains(err.Error(), "state is") {
			t.Errorf("%s: %v, expected an error with process %d and its state", what, err, pid)
		}
	}
	task, release := f.held()
	stays("Kill", task.Kill(), task.runner.PID)
	stays("Remove", Remove(task.id, task.dir, ""), task.runner.PID)
	if !HasRecords(task.dir) {
		t.Error("its records were removed")
	}
	release()
	if err := task.Remove(); err != nil {
		t.Errorf("it has ended: %v", err)
	}

	// One that waits for its task.
	plan := f.plan("true")
	w, err := spawnSupervisor("test", plan)
	if err != nil {
		t.Fatal(err)
	}
	release = hold(t, w.PID)
	w.end()
	release()
}
