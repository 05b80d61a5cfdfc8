// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/nomad/api"
)

// batch is a job of one task that is run once. task is the body of its task
// block, in HCL.
func batch(name, task string) string {
	return fmt.Sprintf(`
job %q {
  type = "batch"
  group "g" {
    reschedule {
      attempts  = 0
      unlimited = false
    }
    restart {
      attempts = 0
      mode     = "fail"
    }
    task "t" {
      driver = "harn"
      resources {
        cpu    = 50
        memory = 128
      }
%s
    }
  }
}`, name, task)
}

// script is the config block of a task that runs a shell script, with more in
// the block. Nomad would interpolate ${NAME}, so a script writes $NAME.
func script(text, more string) string {
	return fmt.Sprintf(`
      config {
        command = "/bin/bash"
        args    = ["-c", <<-SCRIPT
%s
SCRIPT
        ]
%s
      }
`, text, more)
}

// running job.
type job struct {
	t testing.TB
	a *client
	*api.Job
	alloc *api.Allocation // as of the last look
}

// submit registers a job. It is stopped and purged at the end of the test.
func (a *client) submit(t testing.TB, hcl string) *job {
	t.Helper()
	parsed, err := a.Jobs().ParseHCL(hcl, true)
	if err != nil {
		t.Fatalf("%v in\n%s", err, hcl)
	}
	parsed.NodePool = &a.pool
	if _, _, err := a.Jobs().Register(parsed, nil); err != nil {
		t.Fatal(err)
	}
	j := &job{t: t, a: a, Job: parsed}
	t.Cleanup(func() { _, _, _ = a.Jobs().Deregister(*parsed.ID, true, nil) })
	return j
}

// look fetches the job's newest allocation. It is nil if there is none yet.
func (j *job) look() *api.Allocation {
	j.t.Helper()
	list, _, err := j.a.Jobs().Allocations(*j.ID, true, nil)
	if err != nil || len(list) == 0 {
		return nil
	}
	newest := list[0]
	for _, stub := range list {
		if stub.CreateIndex > newest.CreateIndex {
			newest = stub
		}
	}
	alloc, _, err := j.a.Allocations().Info(newest.ID, nil)
	if err != nil {
		return nil
	}
	j.alloc = alloc
	return alloc
}

// until waits for a state of the job's task.
func (j *job) until(what string, condition func(*api.TaskState) bool) *job {
	j.t.Helper()
	defer func() {
		if j.t.Failed() {
			j.t.Logf("events of %s:\n%s", *j.ID, j.events())
		}
	}()
	eventually(j.t, *j.ID+" is not "+what, func() bool {
		alloc := j.look()
		if alloc == nil {
			return false
		}
		state := alloc.TaskStates[j.task()]
		return state != nil && condition(state)
	})
	return j
}

// task is the name of the job's first task.
func (j *job) task() string { return j.TaskGroups[0].Tasks[0].Name }

func (j *job) untilRunning() *job {
	j.t.Helper()
	return j.until("running", func(s *api.TaskState) bool { return s.State == "running" })
}

// untilRestored waits, after the start of an agent, until it knows the
// allocation again: its node is ready before.
func (j *job) untilRestored() {
	j.t.Helper()
	eventually(j.t, "the client does not know the allocation", func() bool {
		_, err := j.a.Allocations().Stats(j.alloc, nil)
		return err == nil
	})
}

func (j *job) untilDead() *job {
	j.t.Helper()
	return j.until("dead", func(s *api.TaskState) bool { return s.State == "dead" })
}

// run runs a job to its end.
func (a *client) run(t testing.TB, hcl string) *job {
	t.Helper()
	return a.submit(t, hcl).untilDead()
}

// events are the task's events as "alloc status" shows them, oldest first.
func (j *job) events() string {
	var b strings.Builder
	if j.alloc == nil {
		return "no allocation"
	}
	for name, state := range j.alloc.TaskStates {
		for _, e := range state.Events {
			fmt.Fprintf(&b, "%s: %s: %s\n", name, e.Type, e.DisplayMessage)
		}
	}
	return b.String()
}

// event returns the text of the last event of a type, "" if there is none.
func (j *job) event(kind string) string {
	text := ""
	for _, e := range j.alloc.TaskStates[j.task()].Events {
		if e.Type == kind {
			text = e.DisplayMessage
		}
	}
	return text
}

// count returns how many events of a type there are.
func (j *job) count(kind string) (n int) {
	for _, e := range j.alloc.TaskStates[j.task()].Events {
		if e.Type == kind {
			n++
		}
	}
	return n
}

// wantNotStarted checks that a refused task was neither started nor tried
// again, and that nothing was left of it.
func (j *job) wantNotStarted() {
	j.t.Helper()
	if j.alloc.TaskStates[j.task()].Restarts != 0 || j.count("Started") != 0 || j.count("Restarting") != 0 {
		j.t.Errorf("it was started:\n%s", j.events())
	}
	if pids := supervisors(j); len(pids) > 0 {
		j.t.Errorf("supervisors are left: %v", pids)
	}
	for _, pattern := range []string{j.a.dir + "/state/" + j.alloc.ID[:8] + "-*", "/sys/fs/cgroup/pids/nomad/" + j.alloc.ID + ".*", "/sys/fs/cgroup/cpuacct/nomad/" + j.alloc.ID + ".*"} {
		if left, _ := filepath.Glob(pattern); len(left) > 0 {
			j.t.Errorf("left behind: %v", left)
		}
	}
}

// exited is the text of the event with which a task ended, like "Exit Code: 0".
func (j *job) exited() string { return j.event("Terminated") }

// oomKilled reports whether Nomad was told that the task ran out of memory.
func (j *job) oomKilled() bool {
	for _, e := range j.alloc.TaskStates[j.task()].Events {
		if e.Type == "Terminated" {
			return e.Details["oom_killed"] == "true"
		}
	}
	return false
}

// logs reads a log as "alloc logs" does.
func (j *job) logs(stream string) string {
	j.t.Helper()
	cancel := make(chan struct{})
	defer close(cancel)
	frames, errs := j.a.AllocFS().Logs(j.alloc, false, j.task(), stream, "start", 0, cancel, nil)
	var b bytes.Buffer
	for {
		select {
		case f, ok := <-frames:
			if !ok {
				return b.String()
			}
			b.Write(f.Data)
		case err := <-errs:
			if err != nil && !errors.Is(err, io.EOF) {
				j.t.Errorf("logs of %s: %v\n%s", *j.ID, err, j.events())
			}
			return b.String()
		case <-time.After(waitFor):
			j.t.Fatal("reading logs takes for ever")
		}
	}
}

// untilLogged waits until a log holds a text.
func (j *job) untilLogged(text string) *job {
	j.t.Helper()
	eventually(j.t, fmt.Sprintf("%s has not logged %q", *j.ID, text), func() bool {
		return strings.Contains(j.logs("stdout"), text)
	})
	return j
}

// wantLogs checks that a log holds texts.
func (j *job) wantLogs(stream string, texts ...string) {
	j.t.Helper()
	logs := j.logs(stream)
	for _, text := range texts {
		if !strings.Contains(logs, text) {
			j.t.Errorf("%s: no %q in %s:\n%s\nevents:\n%s", *j.ID, text, stream, logs, j.events())
		}
	}
}

// exec runs a command as "alloc exec" does.
func (j *job) exec(tty bool, stdin string, command ...string) (stdout, stderr string, code int) {
	j.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), waitFor)
	defer cancel()
	var out, err bytes.Buffer
	sizes := make(chan api.TerminalSize, 1)
	sizes <- api.TerminalSize{Height: 40, Width: 100}
	// Like a user's: a terminal stays open until the command has ended.
	var in io.Reader = strings.NewReader(stdin)
	if tty {
		in = io.MultiReader(in, blocked{ctx})
	}
	code, execErr := j.a.Allocations().Exec(ctx, j.alloc, j.task(), tty, command, in, &out, &err, sizes, nil)
	if execErr != nil {
		j.t.Fatalf("exec %q: %v", command, execErr)
	}
	return out.String(), err.String(), code
}

// blocked is a reader that nothing comes from.
type blocked struct{ context.Context }

func (b blocked) Read([]byte) (int, error) {
	<-b.Done()
	return 0, io.EOF
}

// interrupt runs a command on a terminal, and types Ctrl-C once it has said
// that it is ready.
func (j *job) interrupt(command ...string) (output string, code int) {
	j.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), waitFor)
	defer cancel()
	out := &watchedOutput{ready: make(chan struct{})}
	in := io.MultiReader(readerFunc(func(p []byte) (int, error) {
		<-out.ready
		return copy(p, "\x03"), io.EOF
	}), blocked{ctx})
	code, err := j.a.Allocations().Exec(ctx, j.alloc, j.task(), true, command, in, out, out, nil, nil)
	if err != nil {
		j.t.Fatalf("exec %q: %v", command, err)
	}
	return out.text.String(), code
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// watchedOutput collects output, and tells when it says that it is ready.
type watchedOutput struct {
	text  bytes.Buffer
	ready chan struct{}
	told  bool
}

func (o *watchedOutput) Write(p []byte) (int, error) {
	n, err := o.text.Write(p)
	if !o.told && strings.Contains(o.text.String(), "ready") {
		o.told = true
		close(o.ready)
	}
	return n, err
}
