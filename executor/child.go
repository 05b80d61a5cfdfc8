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

	"golang.org/x/sys/unix"
)

// stdio are the descriptors 0, 1 and 2 of a program.
type stdio [3]*os.File

func (s *stdio) close() {
	for _, f := range s {
		f.Close()
	}
}

// child is a program that was started. Who started it waits for it.
type child struct {
	pid   int // in the PID namespace that it was started from
	pidfd int
	// seen is how it is seen by the /proc that executed was given, which may be of another
	// PID namespace.
	seen Identity
}

// abandon ends a child, and says why.
func (c *child) abandon(err error) error {
	_ = unix.Kill(c.pid, unix.SIGKILL)
	_, _ = unix.Wait4(c.pid, nil, 0, nil)
	unix.Close(c.pidfd)
	return err
}

// Exit codes of a command that was not run, as shells have them.
const (
	NotExecutable = 126
	NotFound      = 127
)

// CommandError says why a command does not execute, where all else was done for
// it.
type CommandError struct {
	Code   int // NotExecutable or NotFound
	Reason string
}

func (e *CommandError) Error() string { return e.Reason }

// executed notes how the child is seen, and returns an error if it ends without having executed its
// program: somebody has killed it before. Whoever waits in vfork(2) is woken by
// either, shortly before it is to be seen which.
func (c *child) executed(proc int) error {
	for {
		pid, stat, err := statOf(proc, c.pidfd)
		var flags, start uint64
		if err == nil {
			flags, err = statNumber(stat, 9)
		}
		if err == nil {
			start, err = startTime(stat)
		}
		if err != nil {
			return fmt.Errorf("looking whether the program has executed: %w", err)
		}
		const forkNoExec = 0x40 // PF_FORKNOEXEC of linux/sched.h: forked, but did not exec
		if flags&forkNoExec == 0 {
			c.seen = Identity{PID: pid, StartTime: start, BootID: BootID()}
			return nil
		}
		if statState(stat) == 'Z' {
			return errors.New("it was killed before it executed the program: other processes may signal those of its user")
		}
		runtime.Gosched()
		_, _, _ = unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0)
	}
}

// statOf returns the number of a process and its stat file as they are in a
// /proc, which may be of another PID namespace than ours.
func statOf(proc, pidfd int) (pid int, stat []byte, err error) {
	info, err := readAt(proc, "self/fdinfo/"+strconv.Itoa(pidfd))
	if err != nil {
		return 0, nil, err
	}
	for line := range strings.Lines(string(info)) {
		if number, ok := strings.CutPrefix(line, "Pid:"); ok {
			pid, _ = strconv.Atoi(strings.TrimSpace(number))
		}
	}
	if pid <= 0 {
		return 0, nil, fmt.Errorf("the task's program ended before it could be identified")
	}
	stat, err = readAt(proc, strconv.Itoa(pid)+"/stat")
	return pid, stat, err
}
