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
	"github.com/burin-labs/nomad-driver-harn/seccomp"
)

// Descriptors of a launcher, beside the program's own 0, 1 and 2.
const (
	launchFD       = 3 // the launch, as JSON
	launchStatusFD = 4 // an error text; closed by exec without one if it works
	rulesetFD      = 5 // a Landlock ruleset, or something else if there is none
	cgroupsFD      = 6 // the first of the files to join cgroups by
)

// launcher is the main function of a launcher.
func launcher() int {
	status := os.NewFile(launchStatusFD, "status")
	err := func() error {
		in := os.NewFile(launchFD, "launch")
		var l launch
		if err := json.NewDecoder(in).Decode(&l); err != nil {
			return fmt.Errorf("reading the launch: %w", err)
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

// launchOptions are what differs between a task's program and a session's.
type launchOptions struct {
	// tty: descriptor 0 is to be the program's controlling terminal.
	tty bool
	// proc is a /proc in which the caller finds itself, nil for the one at its
	// place.
	proc    *os.File
	cgroups *cgroups
}

// launchProcess starts a program under the confinement. It returns once the
// program executes, or with the reason why it does not.
func launchProcess(p Process, c Confinement, std stdio, o launchOptions) (*child, error) {
	l := launch{
		Process:       p,
		User:          c.User,
		Unprivileged:  c.Unprivileged,
		Cgroups:       len(o.cgroups.Tasks),
		OOMScoreAdj:   c.OOMScoreAdj,
		Nice:          c.Nice,
		Limits:        c.Limits,
		Capabilities:  c.Capabilities,
		LandlockFlags: c.LandlockFlags,
		LogFilter:     c.LogFilter,
	}

	ruleset := std[0]
	if c.Ruleset != nil {
		var err error
		if ruleset, err = c.Ruleset.OpenIn(o.proc, reopen(std)...); err != nil {
			return nil, err
		}
		defer ruleset.Close()
		l.Landlock = true
	}
	if c.Filter != nil {
		arch, err := seccomp.Native()
		if err != nil {
			return nil, err
		}
		program, err := seccomp.Compile(arch, c.Filter)
		if err != nil {
			return nil, err
		}
		if l.Filter, err = program.MarshalBinary(); err != nil {
			return nil, err
		}
	}
	instructions, err := json.Marshal(l)
	if err != nil {
		return nil, err
	}

	launchR, launchW, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer launchW.Close()
	statusR, statusW, err := os.Pipe()
	if err != nil {
		launchR.Close()
		return nil, err
	}
	defer statusR.Close()
	files := []uintptr{std[0].Fd(), std[1].Fd(), std[2].Fd(), launchR.Fd(), statusW.Fd(), ruleset.Fd()}
	for _, fd := range o.cgroups.Tasks {
		files = append(files, uintptr(fd))
	}
	started := &child{}
	sys := &syscall.SysProcAttr{Setsid: true, Setctty: o.tty, PidFD: &started.pidfd}
	if o.cgroups.Unified != notOpen {
		sys.UseCgroupFD, sys.CgroupFD = true, o.cgroups.Unified
	}
	started.pid, err = syscall.ForkExec(self, []string{launcherName, p.Args[0]}, &syscall.ProcAttr{
		Env:   environment,
		Files: files,
		Sys:   sys,
	})
	launchR.Close()
	statusW.Close()
	if err != nil {
		return nil, fmt.Errorf("starting the launcher: %w", err)
	}
	if _, err := launchW.Write(instructions); err != nil && !errors.Is(err, unix.EPIPE) {
		return nil, started.abandon(fmt.Errorf("instructing the launcher: %w", err))
	}
	launchW.Close()
	failure, err := io.ReadAll(statusR)
	if err != nil {
		return nil, started.abandon(fmt.Errorf("waiting for the launcher: %w", err))
	}
	if len(failure) > 0 {
		return nil, started.abandon(errors.New(string(failure)))
	}
	return started, nil
}

// abandon ends a launcher that did not get to its program.
func (c *child) abandon(err error) error {
	_ = unix.Kill(c.pid, unix.SIGKILL)
	_, _ = unix.Wait4(c.pid, nil, 0, nil)
	unix.Close(c.pidfd)
	return err
}

// reopen lets a program open its own descriptors again, by /dev/stdout and the
// like.
func reopen(std stdio) []landlock.FileRule {
	rules := []landlock.FileRule{
		{FD: std[0].Fd(), Access: landlock.ReadFile},
		{FD: std[1].Fd(), Access: landlock.WriteFile},
		{FD: std[2].Fd(), Access: landlock.WriteFile},
	}
	for i := range rules {
		if _, err := unix.IoctlGetTermios(int(rules[i].FD), unix.TCGETS); err == nil {
			rules[i].Access = landlock.ReadFile | landlock.WriteFile | landlock.IoctlDev
		}
	}
	return rules
}
