// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package executor

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// signalsPlugin reports whether a task may signal processes of this one's user, if it sees
// them: as that user, or by CAP_KILL, kill(2). A scope of Landlock's does not count:
// commands of sessions may be without, see SessionsSignal.
func (c *Confinement) signalsPlugin() bool {
	return int64(c.User.UID) == int64(os.Geteuid()) || slices.Contains(c.Capabilities, unix.CAP_KILL)
}

// sessionStarter starts a session in the PID namespace of a task that may signal it at once,
// and waits for its end. Until a process executes, who started it waits in vfork(2), deaf to
// all but SIGKILL; and if that is a program in Go, all of it soon waits, for memory to be
// collected. The task may stop the session there. So it is this process that waits, which
// the task does not see, and the plugin goes on, and ends both.
func sessionStarter() int {
	if err := startSession(); err != nil {
		_ = json.NewEncoder(os.NewFile(sessionStatusFD, "status")).Encode(sessionStatus{Error: err.Error()})
		return 1
	}
	return 0
}

func startSession() error {
	files := []uintptr{0, 1, 2, sessionPlanFD, sessionStatusFD, sessionTaskFD}
	if _, err := unix.FcntlInt(sessionTerminalFD, unix.F_GETFD, 0); err == nil {
		files = append(files, sessionTerminalFD)
	}
	switch err := unix.Setns(sessionTaskFD, unix.CLONE_NEWPID); {
	case errors.Is(err, unix.ESRCH):
		return errEnded
	case err != nil:
		return fmt.Errorf("joining the task's PID namespace: %w", err)
	}
	pid, err := program().forkExec(append([]string{sessionName}, os.Args[1:]...), syscall.ProcAttr{
		Dir: "/", Env: sessionEnvironment, Files: files,
		Sys: &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return fmt.Errorf("starting the session: %w", err)
	}
	// Their other ends tell the plugin what the session does.
	for _, fd := range files {
		_ = unix.Close(int(fd))
	}
	_, err = reap(pid)
	return err
}
