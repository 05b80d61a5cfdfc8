// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package executor

import (
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// A companion that ends at once is started again after longest, one that has lasted
// for a while after shortest.
const (
	shortestPause = 10 * time.Millisecond
	longestPause  = 2 * time.Second
)

// keeper is the main function of a companion's keeper. It starts the companion, again
// and again: with the descriptors that it has itself and keeps open, so that
// connections which are made meanwhile wait, and are served then.
//
// It is confined as the companion is, see enterKeeper, and ends with the supervisor.
func keeper() int {
	const arguments = 3
	if len(os.Args) != arguments {
		return 2
	}
	program, err := strconv.Atoi(os.Args[2])
	if err != nil {
		return 2
	}
	// To execute this program has undone what enterKeeper did.
	if err := undumpable(); err != nil {
		return 2
	}
	unix.CloseOnExec(program)
	pause := shortestPause
	args := []string{os.Args[1]}
	for {
		began := time.Now()
		pid, err := startKept(args, program)
		args = args[:1]
		if err == nil {
			if exit, err := reap(pid); err == nil && exit.Signal != 0 { // it could not say so itself
				args = append(args, strconv.Itoa(exit.Signal))
			}
		}
		if time.Since(began) > longestPause {
			pause = shortestPause
		} else {
			pause = min(2*pause, longestPause)
		}
		time.Sleep(pause)
	}
}

// startKept starts a companion. An argument is the signal that has killed the one before.
func startKept(args []string, program int) (pid int, err error) {
	var s sequence
	// It ends with this process, as this one does with the supervisor.
	s.begin("prctl(PR_SET_PDEATHSIG)")
	s.call(unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL))
	s.begin("unblocking signals")
	s.call(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, address(&s.memory, uint64(0)), 0, 8)
	if err := executeOpen(&s, program, args, os.Environ()); err != nil {
		return 0, err
	}
	child, err := s.bear(notOpen)
	if err != nil {
		return 0, err
	}
	unix.Close(child.pidfd)
	return child.pid, nil
}
