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

	"github.com/burin-labs/nomad-driver-harn/landlock"
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
	// sessionTerminalFD is the file system of the command's terminal, if it has one.
	sessionTerminalFD = 6
)

type sessionPlan struct {
	Process     Process     `json:"process"`
	Confinement Confinement `json:"confinement"` // without its filter
	Filters     filters     `json:"filters"`
	TTY         bool        `json:"tty"`
	HostPID     bool        `json:"host_pid,omitempty"` // as in Isolation
}

type sessionStatus struct {
	Error string `json:"error,omitempty"`
	Code  int    `json:"code,omitempty"` // of a CommandError
	Exit  *Exit  `json:"exit,omitempty"`
}

// SessionGroup is the group that sees all processes in a task's /proc, see mountOn.
// Sessions are in it. It owns nothing: no file, and no user has it.
const SessionGroup = 4294967294

// session is the main function of a session. It is started in the task's PID
// namespace: so orphans of its command become children of this process, and all that
// the command has started can be found.
func session() int {
	report := json.NewEncoder(os.NewFile(sessionStatusFD, "status"))
	plan := os.NewFile(sessionPlanFD, "plan")
	var w watchdog
	command, err := beginSession(plan, &w)
	if err != nil {
		st := sessionStatus{Error: err.Error()}
		var unrunnable *CommandError
		if errors.As(err, &unrunnable) {
			st.Code = unrunnable.Code
		}
		_ = report.Encode(st)
		return 1
	}
	_ = report.Encode(sessionStatus{})
	exit, err := reap(command.pid)
	if err != nil {
		return 1
	}
	// What the command has left running is the task's from now on, as with other
	// drivers. If the command was to end, all of it was.
	if !w.leave() {
		for err = nil; err == nil || errors.Is(err, unix.EINTR); {
			_, err = unix.Wait4(-1, nil, 0, nil)
		}
	}
	_ = report.Encode(sessionStatus{Exit: &exit})
	return 0
}

func beginSession(in io.Reader, w *watchdog) (*child, error) {
	var plan sessionPlan
	if err := readMessage(in, &plan); err != nil {
		return nil, fmt.Errorf("reading the session's plan: %w", err)
	}
	w.watch(in)
	program, own, err := plan.Filters.decode()
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
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("prctl(PR_SET_CHILD_SUBREAPER): %w", err)
	}
	if err := syscall.Setgroups([]int{SessionGroup}); err != nil {
		return nil, fmt.Errorf("setgroups(%d): %w", SessionGroup, err)
	}
	cgroups, err := openCgroups(plan.Confinement.Cgroups)
	if err != nil {
		return nil, err
	}
	defer cgroups.close()
	// The host's, whatever the task's view has.
	host, err := openPath("/proc")
	if err != nil {
		return nil, fmt.Errorf("opening /proc: %w", err)
	}
	defer unix.Close(host)
	fds, err := unix.Open("/proc/self/fd", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("opening /proc/self/fd: %w", err)
	}
	defer unix.Close(fds)
	if err := joinNamespaces(sessionTaskFD); err != nil {
		return nil, err
	}
	unix.Close(sessionTaskFD)
	if plan.TTY {
		if err := ownTerminals(sessionTerminalFD); err != nil {
			return nil, err
		}
		unix.Close(sessionTerminalFD)
	}
	var std stdio
	for fd := range std {
		std[fd] = os.NewFile(uintptr(fd), "stdio")
		mode := os.FileMode(0o200)
		if fd == 0 {
			mode = 0o400
		}
		if err := giveStream(std[fd], plan.Confinement.User, mode); err != nil {
			return nil, fmt.Errorf("the command's end of descriptor %d: %w", fd, err)
		}
	}
	l := launch{
		Process: &plan.Process, Confinement: &plan.Confinement, filter: program, stdio: std,
		terminal: plan.TTY, cgroups: cgroups, fds: fds, proc: host, tied: true, born: w.child(),
	}
	command, err := l.start()
	// Another copy of the command's own would keep their readers waiting.
	std.close()
	if err != nil {
		return nil, err
	}
	if err := dropPrivileges(plan.HostPID, own); err != nil {
		return nil, command.abandon(fmt.Errorf("dropping the session's privileges: %w", err))
	}
	return command, nil
}

// joinNamespaces enters those of another process, setns(2) with a pidfd; but for
// its PID namespace, which this process was born in.
func joinNamespaces(pidfd int) error {
	// A thread that shares its view of the file system with others may not
	// change its mount namespace.
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("unshare(CLONE_FS): %w", err)
	}
	err := unix.Setns(pidfd, unix.CLONE_NEWNS|unix.CLONE_NEWIPC|unix.CLONE_NEWNET)
	if errors.Is(err, unix.ESRCH) {
		return errEnded
	}
	if err != nil {
		return fmt.Errorf("joining the task's namespaces: %w", err)
	}
	return nil
}

var errEnded = errors.New("the task has ended")

// planSession is what a session is told.
func (t *Task) planSession(p Process, tty, hostPID bool) ([]byte, error) {
	plan := sessionPlan{Process: p, Confinement: t.confinement, TTY: tty, HostPID: hostPID}
	c := &plan.Confinement
	var err error
	if plan.Filters, err = compileFor(c, true, noLogs); err != nil {
		return nil, err
	}
	c.Filter = nil
	if c.Ruleset != nil && c.SessionsSignal {
		ruleset := *c.Ruleset
		ruleset.Scoped &^= landlock.ScopeSignal
		c.Ruleset = &ruleset
	}
	if !hostPID {
		// The domain of the command is another one than the task's: hidepid would
		// hide all of the task from it.
		c.User.Groups = append(append([]uint32{}, c.User.Groups...), SessionGroup)
	}
	return message(plan)
}
