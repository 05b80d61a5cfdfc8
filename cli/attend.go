// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/driver"
	"github.com/burin-labs/nomad-driver-harn/executor"
)

// passedOn are the signals that are the command's: those of a terminal, and
// those by which people and service managers ask for something. The others
// keep their meaning for this process; when it ends, so does the command.
var passedOn = []os.Signal{
	syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGWINCH,
}

// attend runs a command to its end, with the descriptors of this process. terminal
// is the user's if the command is to have one.
//
// It is never the user's own: what has that open could change its settings for
// good, and go on to read from it. The command's is a new one, and is copied
// from and to the user's, as by script(1).
func attend(run *driver.Run, terminal *os.File) (exit executor.Exit, err error) {
	std := [3]*os.File{os.Stdin, os.Stdout, os.Stderr}
	var relay *relay
	if terminal != nil {
		if relay, err = newRelay(terminal, run.User()); err != nil {
			return exit, fmt.Errorf("making a terminal: %w", err)
		}
		for i, f := range std {
			if isTerminal(f) {
				std[i] = relay.command
			}
		}
	}
	// From before the command is there: none is lost.
	signals := make(chan os.Signal, 64)
	signal.Notify(signals, passedOn...)
	defer signal.Stop(signals)

	task, err := run.Start(std)
	if err != nil {
		return exit, err
	}
	if relay != nil {
		if err := relay.start(); err != nil {
			return exit, errors.Join(err, task.Remove())
		}
		defer relay.stop()
	}
	for {
		select {
		case sig := <-signals:
			if sig == syscall.SIGWINCH && relay != nil {
				relay.resize()
				continue
			}
			// One that it cannot be given any more is followed by its end.
			_ = task.SignalAll(sig.(syscall.Signal))
		case <-task.Done():
			exit, err = task.Exit()
			return exit, errors.Join(err, task.Remove())
		}
	}
}

// userTerminal is the user's terminal, nil if the command needs none: if its
// input or its output goes elsewhere.
func userTerminal() *os.File {
	if isTerminal(os.Stdin) && isTerminal(os.Stdout) {
		return os.Stdin
	}
	return nil
}

func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// relay is a terminal for a command, and what is to be known of the user's.
type relay struct {
	master, command *os.File
	user            *os.File
	settings        *unix.Termios
	copied          chan struct{}
}

func newRelay(user *os.File, owner executor.User) (*relay, error) {
	master, command, err := pty.Open()
	if err != nil {
		return nil, err
	}
	r := &relay{master: master, command: command, user: user, copied: make(chan struct{})}
	r.resize()
	// So that the command can open its own descriptors again.
	if os.Geteuid() == 0 {
		err = command.Chown(int(owner.UID), -1)
	}
	return r, err
}

// start hands keys to the command as they are: also those that make signals,
// which the command's terminal sends to the command's own foreground.
func (r *relay) start() (err error) {
	user := r.user
	r.command.Close() // its reader sees the end when the last process of the command has ended
	if r.settings, err = unix.IoctlGetTermios(int(user.Fd()), unix.TCGETS); err != nil {
		return fmt.Errorf("reading the settings of the terminal: %w", err)
	}
	raw := *r.settings
	raw.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
	raw.Oflag &^= unix.OPOST
	raw.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
	raw.Cflag = raw.Cflag&^(unix.CSIZE|unix.PARENB) | unix.CS8
	raw.Cc[unix.VMIN], raw.Cc[unix.VTIME] = 1, 0
	r.resize() // it may have changed meanwhile
	if err := unix.IoctlSetTermios(int(user.Fd()), unix.TCSETSW, &raw); err != nil {
		return fmt.Errorf("changing the settings of the terminal: %w", err)
	}
	go func() { _, _ = io.Copy(r.master, user) }() // it ends with this process
	go func() {
		defer close(r.copied)
		_, _ = io.Copy(os.Stdout, r.master) // fails with EIO at the end
	}()
	return nil
}

func (r *relay) resize() { _ = pty.InheritSize(r.user, r.master) }

// stop waits for the rest of the output, and gives the terminal back as it was.
func (r *relay) stop() {
	<-r.copied
	_ = unix.IoctlSetTermios(int(r.user.Fd()), unix.TCSETSW, r.settings)
}
