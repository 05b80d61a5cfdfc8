// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package executor

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Terminal is a pseudoterminal for one session. It is in a /dev/pts of its own,
// which the session alone has mounted: the task, of the same user, can neither name
// nor list it.
type Terminal struct {
	User *os.File // the user's end
	TTY  *os.File // the one that is the command's terminal
	// devpts is the file system that it is in, mounted nowhere yet.
	devpts *os.File
}

// devptsTerminals is how many terminals a session can have: all of the host's share
// one limit, sysctl kernel.pty.max.
const devptsTerminals = 64

// terminalGroup is the group of terminals, by convention.
const terminalGroup = 5

// OpenTerminal makes a terminal for a session in the task. The caller closes it.
func (t *Task) OpenTerminal() (*Terminal, error) {
	terminal, err := openTerminal(t.confinement.User)
	if err != nil {
		return nil, fmt.Errorf("making a terminal: %w", err)
	}
	return terminal, nil
}

// Close closes both ends, and lets go of the file system.
func (t *Terminal) Close() {
	for _, f := range []*os.File{t.User, t.TTY, t.devpts} {
		if f != nil {
			f.Close()
		}
	}
}

func openTerminal(owner User) (_ *Terminal, err error) {
	t := &Terminal{}
	defer func() {
		if err != nil {
			t.Close()
		}
	}()
	mount, err := newDevpts()
	if err != nil {
		return nil, fmt.Errorf("a new devpts: %w", err)
	}
	t.devpts = os.NewFile(uintptr(mount), "devpts")
	fd, err := unix.Openat(mount, "ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("opening its ptmx: %w", err)
	}
	t.User = os.NewFile(uintptr(fd), "terminal")
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		return nil, fmt.Errorf("unlocking it: %w", err)
	}
	// By the descriptor: a name would be one of this process's /dev/pts.
	peer, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
	if errno != 0 {
		return nil, fmt.Errorf("opening its other end: %w", errno)
	}
	t.TTY = os.NewFile(peer, "tty")
	return t, errors.Join(t.TTY.Chown(int(owner.UID), terminalGroup), t.TTY.Chmod(0o620))
}

// newDevpts makes a devpts that is mounted nowhere, fsopen(2).
func newDevpts() (int, error) {
	fs, err := unix.Fsopen("devpts", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return notOpen, fmt.Errorf("fsopen(2): %w", err)
	}
	defer unix.Close(fs)
	for _, option := range [][2]string{
		{"ptmxmode", "0666"}, {"mode", "0620"}, {"gid", strconv.Itoa(terminalGroup)}, {"max", strconv.Itoa(devptsTerminals)},
	} {
		if err := unix.FsconfigSetString(fs, option[0], option[1]); err != nil {
			return notOpen, fmt.Errorf("option %s=%s: %w", option[0], option[1], err)
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return notOpen, fmt.Errorf("fsconfig(2): %w", err)
	}
	mount, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NOEXEC)
	if err != nil {
		return notOpen, fmt.Errorf("fsmount(2): %w", err)
	}
	return mount, nil
}

// ownTerminals gives this process a copy of the mounts that it sees, and mounts a
// devpts over the task's in it.
func ownTerminals(devpts int) error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("unshare(CLONE_NEWNS): %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("making mounts slaves of the task's: %w", err)
	}
	const terminals = "/dev/pts"
	target, err := openPath(terminals)
	if err != nil {
		return fmt.Errorf("opening %s of the task: %w", terminals, err)
	}
	defer unix.Close(target)
	if err := unix.MoveMount(devpts, "", target, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH); err != nil {
		return fmt.Errorf("mounting the terminal's file system on %s: %w", terminals, err)
	}
	return nil
}
