// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package executor

import (
	"errors"
	"fmt"
	"os"
	"path"
	"time"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/internal/plain"
	"github.com/burin-labs/nomad-driver-harn/seccomp"
)

// Task is a task that was started, by this process or an earlier one.
type Task struct {
	id          string
	dir         string
	confinement Confinement
	started     started
	runner      Identity // of the supervisor
	supervisor  *process // nil if it had ended before Attach
	lifeline    *os.File // of a task in the foreground: it ends when this is closed

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
//
// id is what [Start] was given, and cgroup the task's own cgroup, "" for none:
// records that say otherwise are not believed.
func Attach(id, dir, cgroup string) (*Task, error) {
	var runner Identity
	if err := readRecord(dir, supervisorRecord, &runner); err != nil {
		return nil, notStarted(err)
	}
	t := newTask(id, dir, Confinement{})
	t.runner = runner
	if err := readRecord(dir, startedRecord, &t.started); err != nil {
		return nil, notStarted(err)
	}
	if err := readConfinement(dir, cgroup, &t.confinement); err != nil {
		return nil, err
	}
	supervisor, err := openSupervisor(id, runner)
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

// readConfinement reads what sessions of a task enter.
func readConfinement(dir, cgroup string, c *Confinement) error {
	if err := readRecord(dir, confinementRecord, c); err != nil {
		return err
	}
	if c.OwnCgroup != cgroup {
		return fmt.Errorf("%q: the task's own cgroup is %q, expected %q: this driver has not recorded that", path.Join(dir, confinementRecord), c.OwnCgroup, cgroup)
	}
	return nil
}

// startPoll is the time between looks at a start of an earlier process.
const startPoll = 5 * time.Millisecond

// AwaitStart waits until a start that an earlier process has begun has
// succeeded or failed. Killing a supervisor in the midst of it would be
// quicker, but its program may execute already: the next start would be its
// second one.
func AwaitStart(id, dir string) {
	var runner Identity
	if readRecord(dir, supervisorRecord, &runner) != nil {
		return // it never had a plan
	}
	supervisor, err := openSupervisor(id, runner)
	if err != nil {
		return
	}
	defer supervisor.close()
	for end := time.Now().Add(startTimeout); time.Now().Before(end); time.Sleep(startPoll) {
		var s started
		if err := readRecord(dir, startedRecord, &s); !errors.Is(err, errNoRecord) {
			return
		}
		if supervisor.ended() {
			return
		}
	}
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
	// In the host's PID namespace a task outlives its supervisor.
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

// Rebooted reports whether the task ended with the machine's last boot, so that
// nobody knows how.
func (t *Task) Rebooted() bool {
	select {
	case <-t.done:
		return errors.Is(t.err, ErrRebooted)
	default:
		return false
	}
}

// User is who the task runs as.
func (t *Task) User() User { return t.confinement.User }

// Filter says which system calls fail for the task; nil if none do.
func (t *Task) Filter() *seccomp.Filter { return t.confinement.Filter }

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
	// It is whose parent the supervisor is, whatever the record says.
	parent, err := ParentOf(first.PID)
	if errors.Is(err, os.ErrNotExist) {
		return ErrGone
	}
	if err != nil || parent != t.runner.PID {
		return fmt.Errorf("process %d is a child of process %d, expected one of the task's supervisor, %d (%w)", first.PID, parent, t.runner.PID, errors.Join(err, ErrGone))
	}
	return first.signal(sig)
}

// SignalAll sends a signal to all processes of the task, by its supervisor,
// which alone sees them all at once.
func (t *Task) SignalAll(sig unix.Signal) error {
	if t.supervisor == nil {
		return ErrGone
	}
	return t.supervisor.relay(sig)
}

// recordTimeout is how long a supervisor has to kill its task and to record it,
// before it is killed itself.
const recordTimeout = 5 * time.Second

// Kill kills all processes of the task and waits for their end. The error says which
// process has not ended: one that waits for a disk or a network may take long.
func (t *Task) Kill() error {
	if t.supervisor == nil {
		return nil
	}
	_ = t.supervisor.relay(unix.SIGKILL)
	if t.endsWithin(recordTimeout) {
		return nil
	}
	_ = t.supervisor.signal(unix.SIGKILL)
	if t.endsWithin(killTimeout) {
		return nil
	}
	return t.supervisor.notEnded()
}

// endsWithin waits for the end of the task.
func (t *Task) endsWithin(most time.Duration) bool {
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-t.done:
		return true
	case <-timer.C:
		return false
	}
}

// Clear kills what is left of the task, whatever it has left, and waits for
// its end, as [Task.Kill] does. Its records stay.
func (t *Task) Clear() error {
	if err := t.Kill(); err != nil {
		return err
	}
	<-t.done
	return killCgroup(t.confinement.OwnCgroup)
}

// Remove is Clear, and removes the task's records. The Task is of no use
// afterwards.
func (t *Task) Remove() error {
	if err := t.Clear(); err != nil {
		return err
	}
	if t.supervisor != nil {
		t.supervisor.close()
	}
	return removeRecords(t.dir)
}

// Detach frees what this process holds of a task that [Attach] has returned, and leaves the
// task as it is. The Task is of no use afterwards.
func (t *Task) Detach() {
	if t.supervisor != nil {
		t.supervisor.close() // who waits for its end is told that it is closed
	}
	<-t.done
}

// Clear kills what is left of a task that Attach cannot return. id and cgroup
// are as for [Attach]; known is its supervisor as far as the caller remembers it:
// it is killed even if the records are gone. The records stay.
func Clear(id, dir, cgroup string, known ...Identity) error {
	var runner Identity
	switch err := readRecord(dir, supervisorRecord, &runner); {
	case err == nil:
		known = append(known, runner)
	case !errors.Is(err, errNoRecord) && len(known) == 0:
		return fmt.Errorf("whose task this is cannot be read, so that it cannot be killed: %w", err)
	}
	var c Confinement
	if err := readConfinement(dir, cgroup, &c); err != nil && !errors.Is(err, errNoRecord) {
		return err
	}
	for _, supervisor := range known {
		if err := killSupervisor(id, supervisor); err != nil {
			return fmt.Errorf("killing what is left of the task in %s: %w", plain.Name(dir), err)
		}
	}
	return killCgroup(c.OwnCgroup)
}

// Remove is Clear, and removes the task's records.
func Remove(id, dir, cgroup string, known ...Identity) error {
	if err := Clear(id, dir, cgroup, known...); err != nil {
		return err
	}
	return removeRecords(dir)
}

func killSupervisor(task string, id Identity) error {
	p, err := openSupervisor(task, id)
	if errors.Is(err, ErrGone) {
		return nil
	}
	if err != nil {
		return err
	}
	defer p.close()
	return p.kill()
}
