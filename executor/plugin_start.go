// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package executor

import (
	"errors"
	"fmt"
	"os"
	"path"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/internal/plain"
)

// Start starts a task, and returns once its program executes, or with the
// reason why it does not; then nothing of it is left, or the reason names the process that
// cannot end, and the records stay.
//
// id is shown by ps(1). dir is the task's directory of records: no task was
// started in it, [Reserve] may have made it. The files are the task's descriptors 1 and 2; the caller closes them.
func Start(id, dir string, plan *Plan, stdout, stderr *os.File) (*Task, error) {
	return startTask(id, dir, plan, stdio{nil, stdout, stderr})
}

// startTask starts a task with these descriptors; nil is /dev/null.
func startTask(id, dir string, plan *Plan, std stdio) (*Task, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	if _, err := os.Lstat(path.Join(dir, supervisorRecord)); !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("state directory: %s has the records of a task that was started (%w)", dir, errors.Join(err, os.ErrExist))
	}
	t, err := start(id, dir, plan, std)
	if err != nil {
		if t != nil {
			// Nobody watches it yet.
			if left := t.supervisor.discard(); left != nil {
				return nil, plain.Join(err, left) // its records tell what there is to remove
			}
		}
		return nil, plain.Join(err, killCgroup(plan.Confinement.OwnCgroup), removeRecords(dir))
	}
	go t.watch()
	time.AfterFunc(readyDelay, func() { makeReady(plan) })
	return t, nil
}

func start(id, dir string, plan *Plan, std stdio) (*Task, error) {
	state, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer state.Close()
	if err := writeRecord(state, confinementRecord, plan.Confinement); err != nil {
		return nil, err
	}
	stateDir, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer stateDir.Close()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	passed := []int{int(stateDir.Fd())}
	for _, f := range std {
		if f == nil {
			f = null
		}
		passed = append(passed, int(f.Fd()))
	}
	b, err := openInheritable(plan)
	if err != nil {
		return nil, err
	}
	defer b.close()
	passed, inherited := b.pass(passed)
	encoded, err := instruct(id, plan, inherited)
	if err != nil {
		return nil, err
	}
	s, err := findSupervisor(id, plan)
	if err != nil {
		return nil, fmt.Errorf("starting the supervisor: %w", err)
	}
	send := func() error {
		// Until it has its whole plan the supervisor does nothing. So whatever one
		// does, its identity is on record.
		if err := writeRecord(state, supervisorRecord, s.Identity); err != nil {
			return err
		}
		return s.instruct(encoded, passed)
	}
	if err = send(); s.waited && errors.Is(err, errNotTaken) {
		// It was stopped or killed while it waited. Nothing of the task has run.
		if s, err = newSupervisor(id, plan); err != nil {
			return nil, fmt.Errorf("starting the supervisor: %w", err)
		}
		err = send()
	}
	t := newTask(id, dir, plan.Confinement)
	t.supervisor, t.runner = s.process, s.Identity
	if plan.Foreground {
		t.lifeline = s.socket
	} else {
		defer s.socket.Close()
	}
	if err != nil {
		return t, err
	}
	b.close()
	st, err := s.status()
	if err != nil {
		return t, err
	}
	if st.Error != "" {
		return t, errors.New(st.Error)
	}
	t.started = st.Started
	return t, nil
}

// namespaces are those that a task gets of its own, as flags of clone(2).
func (w *Isolation) namespaces() uintptr {
	if w.Shared {
		return 0
	}
	flags := uintptr(unix.CLONE_NEWNS)
	if w.UserNamespace {
		flags |= unix.CLONE_NEWUSER
	}
	if !w.HostPID {
		flags |= unix.CLONE_NEWPID
	}
	if !w.HostIPC {
		flags |= unix.CLONE_NEWIPC
	}
	if w.Network.Isolated {
		flags |= unix.CLONE_NEWNET
	}
	return flags
}

// spawn starts the executor's program under one of its names.
func spawn(name, id string, namespaces uintptr, files []uintptr) (*process, error) {
	if len(files) > lowestProgramFD {
		return nil, fmt.Errorf("%d descriptors are to be inherited, at most %d can be", len(files), lowestProgramFD)
	}
	// What was open when the agent was started, it may have left open to all of
	// its children.
	if err := closeOnExec(); err != nil {
		return nil, err
	}
	pidfd := -1
	// A session of its own: signals for the agent's terminal, or the end of
	// its session, are nothing to a task.
	sys := &syscall.SysProcAttr{Setsid: true, Cloneflags: namespaces, PidFD: &pidfd}
	if namespaces&unix.CLONE_NEWUSER != 0 {
		ownUserNamespace(sys)
	}
	if name == supervisorName {
		restore, err := blockSignals()
		if err != nil {
			return nil, err
		}
		defer restore()
	}
	env := environment
	if name == sessionName {
		env = sessionEnvironment
	}
	pid, err := program().forkExec([]string{name, id}, syscall.ProcAttr{
		Dir:   "/",
		Env:   env,
		Files: files,
		Sys:   sys,
	})
	if err != nil {
		return nil, err
	}
	id0, err := identify(pid)
	if err != nil {
		// A child of ours, not yet reaped: the pidfd is the one's.
		_ = newProcess(Identity{PID: pid}, pidfd).discard()
		return nil, err
	}
	return newProcess(id0, pidfd), nil
}
