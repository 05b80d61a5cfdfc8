// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package executor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// sessionStartTimeout is how long a session may take until its command executes.
	sessionStartTimeout = 20 * time.Second
	// sessionGrace is how long a session may take to end itself and its command.
	// Then all of it is killed from here.
	sessionGrace = time.Second
)

// Session is a command in a running task.
type Session struct {
	task   *Task
	plan   *os.File // closing it ends the session
	status *json.Decoder
	file   *os.File
	runner *process      // the session, or its starter
	ended  chan struct{} // closed when the session's process has ended
	once   sync.Once     // for Kill
	keep   func() bool   // has the end of the session's context not kill it any more
}

// Exec starts a command in the task's namespaces, under its confinement. It
// returns once the command executes, or with the reason why it does not: that is a
// [CommandError] if all but the command is in order.
//
// std are the command's descriptors 0, 1 and 2: the caller closes them, and closes
// them soon, since a reader of their other ends waits for that. terminal, if not
// nil, is the one that they are.
//
// The end of ctx kills the command and all that it has started, whenever it comes:
// also before it executes.
func (t *Task) Exec(ctx context.Context, p Process, std [3]*os.File, terminal *Terminal) (*Session, error) {
	select {
	case <-t.done:
		return nil, ErrGone
	default:
	}
	if t.supervisor == nil {
		return nil, ErrGone
	}
	hostPID, err := t.inHostPID()
	if err != nil {
		return nil, err
	}
	encoded, err := t.planSession(p, terminal != nil, hostPID)
	if err != nil {
		return nil, err
	}
	s, err := t.spawnSession(std, terminal)
	if err != nil {
		return nil, fmt.Errorf("starting the session: %w", err)
	}
	late := time.AfterFunc(sessionStartTimeout, s.Kill)
	defer late.Stop()
	s.keep = context.AfterFunc(ctx, s.Kill)
	if err := s.begin(encoded); err != nil {
		s.Close()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, err
	}
	return s, nil
}

// begin tells the session what to do, and waits until it has.
func (s *Session) begin(encoded []byte) error {
	if _, err := s.plan.Write(encoded); err != nil && !errors.Is(err, syscall.EPIPE) {
		return fmt.Errorf("instructing the session: %w", err)
	}
	var st sessionStatus
	switch err := s.status.Decode(&st); {
	case err != nil && s.taskEnded():
		return ErrGone
	case err != nil:
		return fmt.Errorf("the session ended before its command executed, or took longer than %v (%w)", sessionStartTimeout, err)
	case st.Error == errEnded.Error():
		return ErrGone
	case st.Code != 0:
		return &CommandError{st.Code, st.Error}
	case st.Error != "":
		return errors.New(st.Error)
	}
	return nil
}

// inHostPID reports whether the task is in the PID namespace of this process.
func (t *Task) inHostPID() (bool, error) {
	var own, its unix.Stat_t
	if err := unix.Stat("/proc/self/ns/pid", &own); err != nil {
		return false, fmt.Errorf("looking up this process's PID namespace: %w", err)
	}
	err := unix.Stat(fmt.Sprintf("/proc/%d/ns/pid", t.supervisor.PID), &its)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) {
		return false, ErrGone
	}
	if err != nil {
		return false, fmt.Errorf("looking up the task's PID namespace: %w", err)
	}
	return own.Ino == its.Ino && own.Dev == its.Dev, nil
}

func (t *Task) spawnSession(std [3]*os.File, terminal *Terminal) (*Session, error) {
	planR, planW, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer planR.Close()
	statusR, statusW, err := os.Pipe()
	if err != nil {
		planW.Close()
		return nil, err
	}
	defer statusW.Close()
	s := &Session{task: t, plan: planW, file: statusR, status: json.NewDecoder(statusR), ended: make(chan struct{})}
	err = t.supervisor.withFD(func(supervisor int) error {
		files := []uintptr{
			std[0].Fd(), std[1].Fd(), std[2].Fd(), planR.Fd(), statusW.Fd(), uintptr(supervisor),
		}
		if terminal != nil {
			files = append(files, terminal.devpts.Fd())
		}
		if t.confinement.signalsPlugin() {
			s.runner, err = spawn(starterName, t.id, 0, files)
			return err
		}
		return inPIDNamespace(supervisor, func() (err error) {
			s.runner, err = spawn(sessionName, t.id, 0, files)
			return err
		})
	})
	if err != nil {
		planW.Close()
		statusR.Close()
		return nil, err
	}
	// Whatever else becomes of it: as long as it is not reaped, the task's PID
	// namespace cannot end.
	go func() {
		_ = s.runner.wait()
		close(s.ended)
		s.runner.close()
	}()
	return s, nil
}

// inPIDNamespace runs f on a thread whose children are born in the PID namespace of
// a process.
func inPIDNamespace(pidfd int, f func() error) error {
	failed := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		own, err := unix.Open("/proc/thread-self/ns/pid", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			runtime.UnlockOSThread()
			failed <- fmt.Errorf("opening this process's PID namespace: %w", err)
			return
		}
		defer unix.Close(own)
		switch err = unix.Setns(pidfd, unix.CLONE_NEWPID); {
		case errors.Is(err, unix.ESRCH):
			err = ErrGone
		case err != nil:
			err = fmt.Errorf("joining the task's PID namespace: %w", err)
		default:
			err = f()
		}
		if unix.Setns(own, unix.CLONE_NEWPID) == nil {
			runtime.UnlockOSThread() // if not, the thread ends with the goroutine
		}
		failed <- err
	}()
	return <-failed
}

// Wait returns how the command ended.
func (s *Session) Wait() (Exit, error) {
	var st sessionStatus
	err := s.status.Decode(&st)
	if err == nil && st.Exit == nil {
		err = errors.New("it has said something else")
	}
	if err != nil {
		defer s.Close()
		if s.taskEnded() {
			return Exit{Code: 128 + int(unix.SIGKILL), Signal: int(unix.SIGKILL), At: time.Now()}, nil
		}
		return Exit{}, fmt.Errorf("the session ended without saying how its command did: %w", err)
	}
	// What the command has left running is not to be killed.
	s.once.Do(func() { s.plan.Close() })
	s.release()
	return *st.Exit, nil
}

// taskEnded reports whether it was the task's end that ended the session: then the
// kernel has killed all of both.
func (s *Session) taskEnded() bool {
	select {
	case <-s.task.done:
		return true
	case <-time.After(sessionGrace):
		return false
	}
}

// Kill ends the command and all that it has started, in whatever state they are.
// Wait returns soon after.
func (s *Session) Kill() {
	s.once.Do(func() {
		s.plan.Close()
		// Even if it waits for a disk or a network that does not answer: whoever
		// waits for it is told.
		_ = s.file.SetReadDeadline(time.Now().Add(3 * sessionGrace))
		go s.killLater()
	})
}

// killLater kills all of a session that does not end itself.
func (s *Session) killLater() {
	end := time.Now().Add(2 * sessionGrace)
	for wait := sessionGrace; ; wait = 5 * time.Millisecond {
		select {
		case <-s.ended:
			return
		case <-time.After(wait):
		}
		// What it has started first: orphans of a session that has ended cannot be
		// told from the task's own.
		if killAll(s.runner.PID) == 0 || time.Now().After(end) {
			_ = s.runner.signal(unix.SIGKILL)
			return
		}
	}
}

// Close ends the session and frees what it holds.
func (s *Session) Close() {
	s.Kill()
	s.release()
}

func (s *Session) release() {
	s.keep()
	select {
	case <-s.ended:
	case <-time.After(2 * sessionGrace):
	}
	s.file.Close()
}
