// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package executor

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// Descriptors of a launcher, beside the program's own 0, 1 and 2.
const (
	launchFD       = 3 // the plan, as a message
	launchStatusFD = 4 // an error text; closed by exec without one if it works
	cgroupsFD      = 5 // the first of the files to join cgroups by
)

// launcher is the main function of a launcher. Its arguments are the name of
// the program, for ps(1), and how many files there are to join cgroups by.
func launcher() int {
	status := os.NewFile(launchStatusFD, "status")
	err := func() error {
		var l launch
		if _, err := readMessage(os.NewFile(launchFD, "launch"), &l); err != nil {
			return fmt.Errorf("reading the launch: %w", err)
		}
		var err error
		if l.cgroups, err = strconv.Atoi(os.Args[len(os.Args)-1]); err != nil {
			return fmt.Errorf("how many cgroups: %w", err)
		}
		if err := l.prepare(); err != nil {
			return err
		}
		return l.enter()
	}()
	_, _ = io.WriteString(status, err.Error())
	return 1
}

// stdio are the descriptors 0, 1 and 2 of a program.
type stdio [3]*os.File

// child is a program that was launched. Who launched it waits for it.
type child struct {
	pid   int // in the PID namespace that it was started from
	pidfd int
}

// launched is what a supervisor or a session knows of the program in its plan.
// All else of it is for the launcher alone: to decode it twice, and encode it in
// between, would be a good part of a start, and of a supervisor's memory.
type launched struct {
	Args     []string `json:"args"`
	Terminal bool     `json:"terminal"`
}

// launching is a program that is about to execute.
type launching struct {
	child  *child
	status *os.File // says why it does not
}

// launchProcess starts a program under the confinement, as the plan says: a
// message. [launching.await] says whether it executes. tty says that descriptor 0
// is to be its controlling terminal.
func launchProcess(plan []byte, name string, std stdio, tty bool, cgroups *cgroups) (*launching, error) {
	launchR, launchW, err := pipe()
	if err != nil {
		return nil, err
	}
	defer launchW.Close()
	statusR, statusW, err := pipe()
	if err != nil {
		launchR.Close()
		return nil, err
	}
	l := &launching{&child{}, statusR}
	files := []uintptr{std[0].Fd(), std[1].Fd(), std[2].Fd(), launchR.Fd(), statusW.Fd()}
	for _, fd := range cgroups.Tasks {
		files = append(files, uintptr(fd))
	}
	sys := &syscall.SysProcAttr{Setsid: true, Setctty: tty, PidFD: &l.child.pidfd}
	if cgroups.Unified != notOpen {
		sys.UseCgroupFD, sys.CgroupFD = true, cgroups.Unified
	}
	l.child.pid, err = syscall.ForkExec(self, []string{launcherName, name, strconv.Itoa(len(cgroups.Tasks))}, &syscall.ProcAttr{
		Env:   environment,
		Files: files,
		Sys:   sys,
	})
	launchR.Close()
	statusW.Close()
	if err != nil {
		statusR.Close()
		return nil, fmt.Errorf("starting the launcher: %w", err)
	}
	if _, err := launchW.Write(plan); err != nil && !errors.Is(err, unix.EPIPE) {
		return nil, l.abandon(fmt.Errorf("instructing the launcher: %w", err))
	}
	return l, nil
}

// await returns once the program executes, or with the reason why it does not.
func (l *launching) await() (*child, error) {
	failure, err := io.ReadAll(l.status)
	if err != nil {
		return nil, l.abandon(fmt.Errorf("waiting for the launcher: %w", err))
	}
	if len(failure) > 0 {
		return nil, l.abandon(errors.New(string(failure)))
	}
	l.status.Close()
	return l.child, nil
}

// abandon ends a program, if it executes, or its launcher.
func (l *launching) abandon(err error) error {
	l.status.Close()
	return l.child.abandon(err)
}

// pipe makes a pipe whose reader and writer block this thread, which has
// nothing else to do. The runtime would have another one wait, and wake this one.
func pipe() (r, w *os.File, err error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return nil, nil, fmt.Errorf("pipe2(2): %w", err)
	}
	return os.NewFile(uintptr(fds[0]), "pipe"), os.NewFile(uintptr(fds[1]), "pipe"), nil
}

// abandon ends a launcher that did not get to its program.
func (c *child) abandon(err error) error {
	_ = unix.Kill(c.pid, unix.SIGKILL)
	_, _ = unix.Wait4(c.pid, nil, 0, nil)
	unix.Close(c.pidfd)
	return err
}
