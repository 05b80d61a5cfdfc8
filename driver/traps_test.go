// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/nomad/plugins/drivers"
	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/executor"
)

// A task that takes its time to end can still be asked for, signaled, and
// entered.
func TestStopHoldsNobodyUp(t *testing.T) {
	h := newHarness(t, nil)
	cfg := h.task(sh(`trap 'echo got TERM' TERM; trap 'exit 5' USR1; echo ready; while :; do sleep 0.01; done`))
	h.start(cfg)
	h.log(cfg, "stdout", "ready\n")
	stopped := make(chan error, 1)
	go func() { stopped <- h.StopTask(cfg.ID, time.Hour, "") }()
	h.log(cfg, "stdout", "got TERM\n")
	asked := make(chan error, 1)
	go func() {
		asked <- func() error {
			if status, err := h.InspectTask(cfg.ID); err != nil || status.State != drivers.TaskStateRunning {
				return fmt.Errorf("inspect: %+v, %w", status, err)
			}
			if _, err := h.ExecTask(cfg.ID, []string{"/bin/true"}, 10*time.Second); err != nil {
				return fmt.Errorf("exec: %w", err)
			}
			other := h.task(sh("exit 3"))
			h.start(other)
			if got := h.wait(other.ID); got.ExitCode != 3 {
				return fmt.Errorf("another task: %+v", got)
			}
			return h.SignalTask(cfg.ID, "SIGUSR1")
		}()
	}()
	select {
	case err := <-asked:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("nobody is answered while a task is being stopped")
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if got := h.wait(cfg.ID); got.ExitCode != 5 {
		t.Errorf("%+v, want 5", got)
	}
}

// A plugin that is killed during StartTask leaves a supervisor that has its
// plan and is about to execute the program. The next plugin waits for it: it
// must neither kill it nor start the program a second time.
func TestStartWaitsForTheOneBefore(t *testing.T) {
	h := newHarness(t, nil)
	for range 20 {
		cfg := h.task(sh(`echo start; exec sleep 1000`))
		dir := recordsDir(h.config.StateDir, cfg.AllocID, cfg.Name, cfg.ID)
		frozen := make(chan bool, 1)
		go func() { frozen <- freezeSupervisor(dir) }()
		before, first := h.driver, make(chan error, 1)
		go func() {
			_, _, err := before.StartTask(cfg)
			first <- err
		}()
		if !<-frozen {
			// It had started already: once more.
			if err := <-first; err != nil {
				t.Fatal(err)
			}
			if err := before.DestroyTask(cfg.ID, true); err != nil {
				t.Fatal(err)
			}
			continue
		}
		h.connect()
		second := make(chan error, 1)
		go func() {
			_, _, err := h.driver.StartTask(cfg)
			second <- err
		}()
		// Time to do the wrong thing; the right one is to wait.
		time.Sleep(200 * time.Millisecond)
		_ = unix.Kill(supervisorOf(dir), unix.SIGCONT)
		if err := <-first; err != nil {
			t.Errorf("the start that was under way: %v", err)
		}
		if err := <-second; err != nil {
			t.Errorf("the second start: %v", err)
		}
		t.Cleanup(func() { _ = h.driver.DestroyTask(cfg.ID, true) })
		was, wasErr := before.InspectTask(cfg.ID)
		is, isErr := h.driver.InspectTask(cfg.ID)
		if wasErr != nil || isErr != nil || was.DriverAttributes["pid"] != is.DriverAttributes["pid"] {
			t.Fatalf("%+v, %v and %+v, %v, want the same process", was, wasErr, is, isErr)
		}
		if log := h.log(cfg, "stdout", "start\n"); strings.Count(log, "start") != 1 {
			t.Errorf("log %q", log)
		}
		return
	}
	t.Error("no supervisor could be stopped before its program executed: this test shows nothing")
}

// supervisorOf is the process that a task's records name; 0 if they name none.
func supervisorOf(dir string) int {
	var id executor.Identity
	data, err := os.ReadFile(filepath.Join(dir, "supervisor"))
	if err != nil || json.Unmarshal(data, &id) != nil {
		return 0
	}
	return id.PID
}

// freezeSupervisor stops a supervisor as soon as it is on record. It reports
// whether that was before its program executed.
func freezeSupervisor(dir string) bool {
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); {
		pid := supervisorOf(dir)
		if pid == 0 {
			continue
		}
		if unix.Kill(pid, unix.SIGSTOP) != nil {
			return false
		}
		for range 1000 { // until all of its threads stand still
			stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
			if err != nil {
				return false
			}
			if _, state, _ := strings.Cut(string(stat), ") "); state[0] == 'T' {
				break
			}
			time.Sleep(time.Millisecond)
		}
		started, err := os.ReadFile(filepath.Join(dir, "started"))
		if err == nil && strings.Trim(string(started), "\x00 \n") != "" {
			_ = unix.Kill(pid, unix.SIGCONT)
			return false
		}
		return true
	}
	return false
}

// Signals at the supervisor are the task's: HUP, QUIT and the like end no
// supervisor while its task runs on.
func TestSupervisorSurvivesSignals(t *testing.T) {
	h := newHarness(t, nil)
	cfg := h.task(sh(`for s in HUP QUIT USR1 USR2 ALRM PIPE; do trap "echo got $s" $s; done; trap 'exit 6' TERM; echo ready; while :; do sleep 0.01; done`))
	var state TaskState
	if err := h.start(cfg).GetDriverState(&state); err != nil {
		t.Fatal(err)
	}
	h.log(cfg, "stdout", "ready\n")
	for _, sig := range []unix.Signal{unix.SIGHUP, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2, unix.SIGALRM} {
		if err := unix.Kill(state.Supervisor.PID, sig); err != nil {
			t.Fatal(err)
		}
		h.log(cfg, "stdout", "got "+strings.TrimPrefix(unix.SignalName(sig), "SIG")+"\n")
	}
	// Its own business: the task does not hear of a pipe that the supervisor lost.
	if err := unix.Kill(state.Supervisor.PID, unix.SIGPIPE); err != nil {
		t.Fatal(err)
	}
	if err := unix.Kill(state.Supervisor.PID, unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if got := h.wait(cfg.ID); got.ExitCode != 6 || got.Err != nil {
		t.Errorf("%+v, want the task's own 6", got)
	}
	if log := h.log(cfg, "stdout", "got HUP\n"); strings.Contains(log, "PIPE") {
		t.Errorf("log %q", log)
	}
}

// What the unit of the agent sets for itself is not for tasks: its score for
// the OOM killer and its umask. Its limits are theirs, unless ulimit says otherwise.
func TestTasksInheritLittleOfTheAgent(t *testing.T) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	score, err := os.ReadFile("/proc/self/oom_score_adj")
	if err != nil {
		t.Fatal(err)
	}
	// Its unit sets -1000, which takes a capability; any other is inherited as well.
	if err := os.WriteFile("/proc/self/oom_score_adj", []byte("500"), 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.WriteFile("/proc/self/oom_score_adj", score, 0) })
	mask := unix.Umask(0o077)
	t.Cleanup(func() { unix.Umask(mask) })
	h := newHarness(t, nil)
	cfg := h.task(sh(`echo "score $(cat /proc/self/oom_score_adj) mask $(umask) files $(ulimit -Hn)"; exec sleep 1000`))
	var state TaskState
	if err := h.start(cfg).GetDriverState(&state); err != nil {
		t.Fatal(err)
	}
	h.log(cfg, "stdout", fmt.Sprintf("score 0 mask 0022 files %d\n", limit.Max))
	// Neither a signal for the agent's process group, nor the end of its session
	// or its terminal, reaches them.
	for name, pid := range map[string]int{"supervisor": state.Supervisor.PID, "task": h.pids(cfg.ID)[0]} {
		group, groupErr := unix.Getpgid(pid)
		session, sessionErr := unix.Getsid(pid)
		if groupErr != nil || sessionErr != nil || group == syscall.Getpgrp() || session == mine(t) {
			t.Errorf("%s: group %d, %v, session %d, %v, want others than the agent's", name, group, groupErr, session, sessionErr)
		}
	}
}

func mine(t *testing.T) int {
	t.Helper()
	session, err := unix.Getsid(0)
	if err != nil {
		t.Fatal(err)
	}
	return session
}

// Statistics have many readers, while the task is looked at, and ends: run it with -race.
func TestStatsHaveManyReaders(t *testing.T) {
	h := newHarness(t, nil)
	cfg := h.task(sh(`trap 'exit 0' USR1; while :; do sleep 0.01; done`))
	h.start(cfg)
	var readers, enough sync.WaitGroup
	for range 8 {
		ch, err := h.driver.TaskStats(t.Context(), cfg.ID, 5*time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		enough.Add(1)
		readers.Go(func() {
			done := sync.OnceFunc(enough.Done)
			defer done()
			last := int64(0)
			for range 20 {
				usage, ok := <-ch
				if !ok {
					t.Error("the statistics end before the task")
					return
				}
				if usage.Timestamp < last || usage.ResourceUsage.CpuStats.Percent < 0 {
					t.Errorf("at %d after %d: %+v", usage.Timestamp, last, usage.ResourceUsage.CpuStats)
				}
				last = usage.Timestamp
			}
			done()
			for range ch { // until the task has ended
			}
		})
	}
	for range 50 {
		if _, err := h.driver.InspectTask(cfg.ID); err != nil {
			t.Error(err)
		}
	}
	enough.Wait()
	if err := h.driver.DestroyTask(cfg.ID, true); err != nil {
		t.Error(err)
	}
	readers.Wait()
}

// A task's environment has its tokens. Nomad keeps it, so that neither the
// state that the driver hands to Nomad nor its own records need to.
func TestTokensAreNotKept(t *testing.T) {
	h := newHarness(t, nil)
	cfg := h.task(sh(`echo "$TOKEN"; while :; do sleep 1; done`))
	const token = "a-token-of-the-task"
	cfg.Env["TOKEN"] = token
	handle := h.start(cfg)
	h.log(cfg, "stdout", token+"\n")
	if strings.Contains(string(handle.DriverState), token) {
		t.Error("the driver's state holds the token")
	}
	records := 0
	if err := filepath.WalkDir(h.config.StateDir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		records++
		content, err := os.ReadFile(path)
		if strings.Contains(string(content), token) {
			t.Errorf("%s holds the token", path)
		}
		return err
	}); err != nil || records == 0 {
		t.Errorf("%d records, %v", records, err)
	}
}
