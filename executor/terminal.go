// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package executor

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// OpenTerminal opens a pseudoterminal of the task's own /dev/pts, for a
// session in it: the user's end, and the one that is the command's terminal.
func (t *Task) OpenTerminal() (user, tty *os.File, err error) {
	if t.supervisor == nil {
		return nil, nil, ErrGone
	}
	user, tty, err = openTerminal(t.supervisor.PID, t.confinement.User)
	if err != nil {
		return nil, nil, fmt.Errorf("opening a terminal of the task: %w", err)
	}
	return user, tty, nil
}

func openTerminal(supervisor int, owner User) (user, tty *os.File, err error) {
	root, err := unix.Open(fmt.Sprintf("/proc/%d/root", supervisor), unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	defer unix.Close(root)
	const ptmx = "dev/pts/ptmx"
	fd, err := unix.Openat2(root, ptmx, &unix.OpenHow{
		Flags:   unix.O_RDWR | unix.O_NOCTTY | unix.O_CLOEXEC | unix.O_NONBLOCK,
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_SYMLINKS,
	})
	if err != nil {
		return nil, nil, fmt.Errorf("/%s: %w", ptmx, err)
	}
	user = os.NewFile(uintptr(fd), "terminal")
	defer func() {
		if err != nil {
			user.Close()
		}
	}()
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		return nil, nil, fmt.Errorf("unlocking it: %w", err)
	}
	// By the descriptor: a name would be one of this process's /dev/pts.
	peer, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
	if errno != 0 {
		return nil, nil, fmt.Errorf("opening its other end: %w", errno)
	}
	tty = os.NewFile(peer, "tty")
	const group = 5 // of terminals, by convention
	if err := errors.Join(tty.Chown(int(owner.UID), group), tty.Chmod(0o620)); err != nil {
		tty.Close()
		return nil, nil, err
	}
	return user, tty, nil
}
