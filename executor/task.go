// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package executor

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Task is a task that was started, by this process or an earlier one.
type Task struct {
	id          string
	dir         string
	confinement Confinement
	started     started
	runner      Identity // of the supervisor
	supervisor  *process // nil if it had ended before Attach

	done chan struct{} // closed when the fields below are set
	exit Exit
	err  error
}

// Errors of Attach.
var (
	// ErrNotStarted: the task's program never executed. What there is of it can
	// be removed.
	ErrNotStarted = errors.New("the task was not started")
	// ErrLost: the task has ended, and nobody knows how.
	ErrLost = errors.New("the task's supervisor ended without recording how the task did: it was killed, and the kernel killed the task with it")
	// ErrRebooted: the task ended with the machine's last boot.
	ErrRebooted = errors.New("the machine was booted since, the task has ended")
)

func newTask(id, dir string, c Confinement) *Task {
	return &Task{id: id, dir: dir, confinement: c, done: make(chan struct{})}
}

// Attach finds a task by its directory of records. A task that has ended
// meanwhile is found as well, with its true exit.
func Attach(id, dir string) (*Task, error) {
	var runner Identity
	if err := readRecord(dir, supervisorRecord, &runner); err != nil {
		return nil, notStarted(err)
	}
	t := newTask(id, dir, Confinement{})
	t.runner = runner
	if err := readRecord(dir, startedRecord, &t.started); err != nil {
		return nil, notStarted(err)
	}
	if err := readRecord(dir, confinementRecord, &t.confinement); err != nil {
		return nil, err
	}
	supervisor, err := openProcess(runner)
	switch {
	case err == nil:
		t.supervisor = supervisor
		go t.watch()
	case errors.Is(err, ErrGone):
		t.end()
		if errors.Is(t.err, ErrLost) && runner.BootID != BootID() {
			t.err = ErrRebooted
		}
		close(t.done)
	default:
		return nil, err
	}
	return t, nil
}

func notStarted(err error) error {
	if errors.Is(err, errNoRecord) {
		return ErrNotStarted
	}
	return err
}

// watch waits for the end of the supervisor, and with it of the whole task.
func (t *Task) watch() {
	if err := t.supervisor.wait(); err != nil {
		t.err = err
	} else {
		t.end()
	}
	close(t.done)
}

// end reads how the task ended.
func (t *Task) end() {
	t.err = readRecord(t.dir, exitRecord, &t.exit)
	if !errors.Is(t.err, errNoRecord) {
		return
	}
	t.err = ErrLost
	// In the host's PID namespace a task outlives its supervisor, and so do
	// sessions in any.
	if err := killCgroup(t.confinement.OwnCgroup); err != nil {
		t.err = errors.Join(t.err, err)
	}
}

// Done is closed when the task has ended: no process of it is left.
func (t *Task) Done() <-chan struct{} { return t.done }

// Exit says how the task ended. The error says why that is not known. It waits
// until the task has ended.
func (t *Task) Exit() (Exit, error) {
	<-t.done
	return t.exit, t.err
}

// PID is the process ID of the task's first process, as the host sees it.
func (t *Task) PID() int { return t.started.Process.PID }

// Supervisor identifies the task's supervisor.
func (t *Task) Supervisor() Identity { return t.runner }

// StartedAt is when the task's program executed.
func (t *Task) StartedAt() time.Time { return t.started.At }

// Signal sends a signal to the task's first process. It returns [ErrGone] if
// that has ended.
func (t *Task) Signal(sig unix.Signal) error {
	select {
	case <-t.done:
		return ErrGone
	default:
	}
	first, err := openProcess(t.started.Process)
	if err != nil {
		return err
	}
	defer first.close()
	return first.signal(sig)
}

// SignalAll sends a signal to all processes of the task, by its supervisor,
// which alone sees them all at once.
func (t *Task) SignalAll(sig unix.Signal) error {
	if t.supervisor == nil {
		return ErrGone
	}
	switch sig {
	case unix.SIGKILL:
		sig = killAll
	case unix.SIGSTOP, unix.SIGCHLD, unix.SIGURG, unix.SIGPIPE:
		// Not for a supervisor: it would stop, or cannot tell them from its own.
		return t.Signal(sig)
	}
	return t.supervisor.signal(sig)
}

// killTimeout is how long a supervisor has to kill its task and to record it,
// before it is killed itself.
const killTimeout = 5 * time.Second

// Kill kills all processes of the task and waits for their end.
func (t *Task) Kill() {
	if t.supervisor == nil {
		return
	}
	_ = t.supervisor.signal(killAll)
	select {
	case <-t.done:
		return
	case <-time.After(killTimeout):
	}
	_ = t.supervisor.signal(unix.SIGKILL)
	<-t.done
}

// kill is Kill for a task that nobody watches yet.
func (t *Task) kill() {
	_ = t.supervisor.signal(unix.SIGKILL)
	_ = t.supervisor.wait()
	t.supervisor.close()
}

// Remove kills what is left of the task and removes its records. The Task is
// of no use afterwards.
func (t *Task) Remove() error {
	t.Kill()
	<-t.done
	if err := killCgroup(t.confinement.OwnCgroup); err != nil {
		return err
	}
	if t.supervisor != nil {
		t.supervisor.close()
	}
	return os.RemoveAll(t.dir)
}

// Remove kills what is left of a task that Attach cannot return, and removes
// its records. known is its supervisor as far as the caller remembers it: it
// is killed even if the records are gone.
func Remove(dir string, known ...Identity) error {
	var runner Identity
	switch err := readRecord(dir, supervisorRecord, &runner); {
	case err == nil:
		known = append(known, runner)
	case !errors.Is(err, errNoRecord) && len(known) == 0:
		return fmt.Errorf("whose task this is cannot be read, so that it cannot be killed: %w", err)
	}
	var c Confinement
	if err := readRecord(dir, confinementRecord, &c); err != nil && !errors.Is(err, errNoRecord) {
		return err
	}
	for _, id := range known {
		if err := killProcess(id); err != nil {
			return fmt.Errorf("killing what is left of the task in %s: %w", dir, err)
		}
	}
	if err := killCgroup(c.OwnCgroup); err != nil {
		return err
	}
	return os.RemoveAll(dir)
}

func killProcess(id Identity) error {
	p, err := openProcess(id)
	if errors.Is(err, ErrGone) {
		return nil
	}
	if err != nil {
		return err
	}
	defer p.close()
	if err := p.signal(unix.SIGKILL); err != nil && !errors.Is(err, ErrGone) {
		return err
	}
	return p.wait()
}
