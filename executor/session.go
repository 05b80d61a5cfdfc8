// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package executor

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Descriptors of a session, beside 0, 1 and 2, which are the command's.
const (
	// sessionPlanFD is the sessionPlan, as a message. Its other end stays open for
	// as long as the session is wanted.
	sessionPlanFD = 3
	// sessionStatusFD takes a sessionStatus when the command executes, and
	// another one when it has ended.
	sessionStatusFD = 4
	// sessionTaskFD is a pidfd of the task's supervisor.
	sessionTaskFD = 5
)

type sessionPlan struct {
	Process     Process     `json:"process"`
	Confinement Confinement `json:"confinement"` // without its filter
	Filters     filters     `json:"filters"`
	TTY         bool        `json:"tty"`
}

type sessionStatus struct {
	Error string `json:"error,omitempty"`
	Exit  *Exit  `json:"exit,omitempty"`
}

// session is the main function of a session.
func session() int {
	report := json.NewEncoder(os.NewFile(sessionStatusFD, "status"))
	plan := os.NewFile(sessionPlanFD, "plan")
	command, err := beginSession(plan)
	if err != nil {
		_ = report.Encode(sessionStatus{Error: err.Error()})
		return 1
	}
	_ = report.Encode(sessionStatus{})
	// Whoever wanted the session has gone, or wants its end.
	go func() {
		_, _ = io.Copy(io.Discard, plan)
		command.kill()
	}()
	var ws unix.WaitStatus
	for {
		_, err := unix.Wait4(command.pid, &ws, 0, nil)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	// What the command left running in its session ends with it, so that
	// nothing holds on to its output.
	command.kill()
	exit := exitOf(ws)
	_ = report.Encode(sessionStatus{Exit: &exit})
	return 0
}

// kill kills the command and its process group; it was made a session leader.
func (c *child) kill() {
	_ = unix.PidfdSendSignal(c.pidfd, unix.SIGKILL, nil, 0)
	_ = unix.Kill(-c.pid, unix.SIGKILL)
}

func beginSession(in io.Reader) (*child, error) {
	var plan sessionPlan
	if err := readMessage(in, &plan); err != nil {
		return nil, fmt.Errorf("reading the session's plan: %w", err)
	}
	program, rest, err := plan.Filters.decode()
	if err != nil {
		return nil, fmt.Errorf("reading the filters of the session's plan: %w", err)
	}
	dumps, err := openDumpFilter()
	if err == nil {
		err = dumps.apply(&plan.Confinement)
	}
	if err != nil {
		return nil, err
	}
	if err := undumpable(); err != nil {
		return nil, err
	}
	if err := closeOnExec(); err != nil {
		return nil, err
	}
	cgroups, err := openCgroups(plan.Confinement.Cgroups)
	if err != nil {
		return nil, err
	}
	defer cgroups.close()
	// The task's /proc does not show this process, whose child alone is in the
	// task's PID namespace.
	fds, err := unix.Open("/proc/self/fd", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("opening /proc/self/fd: %w", err)
	}
	defer unix.Close(fds)
	if err := joinNamespaces(sessionTaskFD); err != nil {
		return nil, err
	}
	unix.Close(sessionTaskFD)
	var std stdio
	for fd := range std {
		std[fd] = os.NewFile(uintptr(fd), "stdio")
	}
	l := launch{&plan.Process, &plan.Confinement, program, std, plan.TTY, cgroups, fds}
	command, err := l.start()
	// Another copy of the command's own would keep their readers waiting.
	std.close()
	if err != nil {
		return nil, err
	}
	if err := renounce(false, rest); err != nil {
		return nil, command.abandon(fmt.Errorf("dropping the session's privileges: %w", err))
	}
	return command, nil
}

// joinNamespaces enters those of another process, setns(2) with a pidfd.
func joinNamespaces(pidfd int) error {
	// A thread that shares its view of the file system with others may not
	// change its mount namespace.
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("unshare(CLONE_FS): %w", err)
	}
	const all = unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWIPC | unix.CLONE_NEWNET
	err := unix.Setns(pidfd, all)
	if errors.Is(err, unix.ESRCH) {
		return errors.New("the task has ended")
	}
	if err != nil {
		return fmt.Errorf("joining the task's namespaces: %w", err)
	}
	return nil
}

// Session is a command in a running task.
type Session struct {
	plan   *os.File // closing it ends the session
	status *json.Decoder
	file   *os.File
	runner *process
}

// Exec starts a command in the task's namespaces, under its confinement. It
// returns once the command executes, or with the reason why it does not.
//
// The files are the command's descriptors 0, 1 and 2: the caller closes them,
// and closes them soon, since a reader of their other ends waits for that. tty
// says that they are a terminal.
func (t *Task) Exec(p Process, stdin, stdout, stderr *os.File, tty bool) (*Session, error) {
	select {
	case <-t.done:
		return nil, ErrGone
	default:
	}
	told := sessionPlan{Process: p, Confinement: t.confinement, TTY: tty}
	var err error
	if told.Filters, err = compileFor(&t.confinement, false, noLogs); err != nil {
		return nil, err
	}
	told.Confinement.Filter = nil
	plan, err := message(told)
	if err != nil {
		return nil, err
	}
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

	s := &Session{plan: planW, file: statusR, status: json.NewDecoder(statusR)}
	err = t.supervisor.withFD(func(supervisor int) error {
		s.runner, err = spawn(sessionName, t.id, 0, []uintptr{
			stdin.Fd(), stdout.Fd(), stderr.Fd(), planR.Fd(), statusW.Fd(), uintptr(supervisor),
		})
		return err
	})
	if err != nil {
		planW.Close()
		statusR.Close()
		return nil, fmt.Errorf("starting the session: %w", err)
	}
	statusW.Close()
	planR.Close()
	if _, err := planW.Write(plan); err != nil && !errors.Is(err, syscall.EPIPE) {
		s.Close()
		return nil, fmt.Errorf("instructing the session: %w", err)
	}
	var st sessionStatus
	if err := s.status.Decode(&st); err != nil {
		s.Close()
		return nil, fmt.Errorf("the session ended without a word: %w", err)
	}
	if st.Error != "" {
		s.Close()
		return nil, errors.New(st.Error)
	}
	return s, nil
}

// Wait returns how the command ended.
func (s *Session) Wait() (Exit, error) {
	defer s.Close()
	var st sessionStatus
	if err := s.status.Decode(&st); err != nil {
		return Exit{}, fmt.Errorf("the session ended without saying how its command did: %w", err)
	}
	if st.Exit == nil {
		return Exit{}, errors.New("the session ended without saying how its command did")
	}
	return *st.Exit, nil
}

// Kill ends the command. Wait returns soon after.
func (s *Session) Kill() { s.plan.Close() }

// Close ends the session and frees what it holds.
func (s *Session) Close() {
	s.plan.Close()
	if s.runner != nil {
		_ = s.runner.wait()
		s.runner.close()
	}
	s.file.Close()
}
