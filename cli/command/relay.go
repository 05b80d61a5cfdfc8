// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package command

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/executor"
)

// relay is a terminal for a command in the place of one of the user's, and what is
// to be known of that.
//
// Keys are read if the command's input is the terminal. Then the user's is set to
// hand over each as it is, also those that make signals: the command's terminal
// sends them to the command's own foreground. But in a pipeline, another program may
// have the terminal for itself, as a pager has: there its settings stay as they are,
// lines are handed over, and only as long as the command asks for single keys is it
// set to that.
type relay struct {
	master, command *os.File
	user            *os.File // to write to
	keys            *os.File // to read from; nil if there is no input
	pipeline        bool
	copied          chan struct{}

	lock     sync.Mutex    // for what follows
	settings *unix.Termios // of the user's terminal, before they were changed; nil if they are not
	reading  bool
	stopped  chan struct{}
	followed chan struct{} // closed when follow has ended; nil if it was not begun
}

// relays are those of a command: mostly none, or one.
type relays []*relay

// newRelays makes a terminal for each terminal that the files are, and puts it in
// their places.
func newRelays(std *[3]*os.File, owner executor.User) (all relays, err error) {
	defer func() {
		if err != nil {
			all.stop()
		}
	}()
	pipeline := false
	for _, f := range std[1:] {
		info, err := f.Stat()
		pipeline = pipeline || err == nil && info.Mode()&(os.ModeNamedPipe|os.ModeSocket) != 0
	}
	of := map[uint64]*relay{} // by the device of the user's terminal
	for fd, f := range std {
		if !isTerminal(f) {
			continue
		}
		var st unix.Stat_t
		if err := unix.Fstat(int(f.Fd()), &st); err != nil {
			return all, err
		}
		r := of[st.Rdev]
		if r == nil {
			if r, err = newRelay(f, fd == 0, pipeline, owner); err != nil {
				return all, err
			}
			of[st.Rdev], all = r, append(all, r)
		}
		if fd > 0 {
			r.user = f // input may be open to read only
		}
		std[fd] = r.command
	}
	return all, nil
}

func newRelay(user *os.File, input, pipeline bool, owner executor.User) (*relay, error) {
	master, command, err := pty.Open()
	if err != nil {
		return nil, err
	}
	r := &relay{
		master: master, command: command, user: user, pipeline: pipeline,
		copied: make(chan struct{}), stopped: make(chan struct{}),
	}
	close(r.copied) // nothing is yet
	r.resize()
	// So that the command can open its own descriptors again.
	if os.Geteuid() == 0 {
		err = command.Chown(int(owner.UID), -1)
	}
	if input {
		r.keys = user
	} else {
		err = errors.Join(err, r.outputOnly())
	}
	if err == nil && input && pipeline {
		err = r.change(func(s *unix.Termios) { s.Lflag &^= unix.ECHO }) // the user's own does
	}
	if err != nil {
		r.stop()
		return nil, err
	}
	return r, nil
}

// outputOnly makes the command's end one that cannot be read: nobody types there, and
// to wait for that would be in vain. What is written passes as it is.
func (r *relay) outputOnly() error {
	if err := r.change(func(s *unix.Termios) { s.Oflag &^= unix.OPOST; s.Lflag &^= unix.ECHO }); err != nil {
		return err
	}
	fd, _, errno := unix.Syscall(unix.SYS_IOCTL, r.master.Fd(), unix.TIOCGPTPEER, unix.O_WRONLY|unix.O_NOCTTY|unix.O_CLOEXEC)
	if errno != 0 {
		return fmt.Errorf("opening it for output alone: %w", errno)
	}
	r.command.Close()
	r.command = os.NewFile(fd, "terminal")
	return nil
}

// change changes the settings of the command's terminal.
func (r *relay) change(to func(*unix.Termios)) error {
	settings, err := unix.IoctlGetTermios(int(r.command.Fd()), unix.TCGETS)
	if err == nil {
		to(settings)
		err = unix.IoctlSetTermios(int(r.command.Fd()), unix.TCSETS, settings)
	}
	return err
}

// start copies from and to the terminals. The command is there.
func (all relays) start() {
	for _, r := range all {
		r.start()
	}
}

func (r *relay) start() {
	r.command.Close() // its reader sees the end when the last process of the command has ended
	r.command = nil
	r.resize() // it may have changed meanwhile
	r.copied = make(chan struct{})
	go func() {
		defer close(r.copied)
		// Fails with EIO at the end. If nobody takes it, the command is not to wait.
		_, _ = io.Copy(r.user, r.master)
		_, _ = io.Copy(io.Discard, r.master)
	}()
	r.attach()
	if r.keys != nil && r.pipeline {
		r.followed = make(chan struct{})
		go r.follow()
	}
}

// attach reads keys from now on, unless this process is in the background: to read
// there, or to change settings, would stop it.
func (r *relay) attach() {
	if r.keys == nil || !r.foreground() {
		return
	}
	if !r.pipeline {
		r.raw()
	}
	r.lock.Lock()
	defer r.lock.Unlock()
	if !r.reading {
		r.reading = true
		go r.read()
	}
}

// foreground reports whether this process may use the user's terminal: if it is the
// one that controls it, only in the foreground.
func (r *relay) foreground() bool {
	group, err := unix.IoctlGetInt(int(r.keys.Fd()), unix.TIOCGPGRP)
	return err != nil || group == unix.Getpgrp()
}

// read hands keys to the command, until this process ends.
func (r *relay) read() {
	buffer := make([]byte, 4096)
	const endOfFile = 4 // as VEOF of a new terminal
	for ends := 0; ends < 10; {
		n, err := r.keys.Read(buffer)
		if n > 0 {
			ends = 0
			if _, err := r.master.Write(buffer[:n]); err != nil {
				return
			}
		}
		switch {
		case errors.Is(err, io.EOF) && r.pipeline:
			// It is one of a line that has been typed; or, if it goes on, the terminal's.
			if _, err := r.master.Write([]byte{endOfFile}); err != nil {
				return
			}
			ends++
			time.Sleep(20 * time.Millisecond)
		case err != nil:
			return
		}
	}
}

// follow has the user's terminal hand over single keys while the command's does.
func (r *relay) follow() {
	defer close(r.followed)
	for ticker := time.NewTicker(50 * time.Millisecond); ; {
		select {
		case <-r.stopped:
			ticker.Stop()
			return
		case <-ticker.C:
		}
		settings, err := unix.IoctlGetTermios(int(r.master.Fd()), unix.TCGETS)
		switch {
		case err != nil || !r.foreground():
		case settings.Lflag&unix.ICANON != 0:
			r.restore()
		default:
			r.raw()
		}
	}
}

// raw sets the user's terminal to hand over all keys as they are.
func (r *relay) raw() {
	r.lock.Lock()
	defer r.lock.Unlock()
	settings := r.settings // whoever stopped this process may have changed them back
	if settings == nil {
		var err error
		if settings, err = unix.IoctlGetTermios(int(r.keys.Fd()), unix.TCGETS); err != nil {
			return
		}
	}
	raw := *settings
	raw.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
	raw.Oflag &^= unix.OPOST
	raw.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
	raw.Cflag = raw.Cflag&^(unix.CSIZE|unix.PARENB) | unix.CS8
	raw.Cc[unix.VMIN], raw.Cc[unix.VTIME] = 1, 0
	if unix.IoctlSetTermios(int(r.keys.Fd()), unix.TCSETSW, &raw) == nil {
		r.settings = settings
	}
}

// restore gives the user's terminal back as it was.
func (r *relay) restore() {
	r.lock.Lock()
	defer r.lock.Unlock()
	if r.settings != nil {
		_ = unix.IoctlSetTermios(int(r.keys.Fd()), unix.TCSETSW, r.settings)
		r.settings = nil
	}
}

func (r *relay) resize() { _ = pty.InheritSize(r.user, r.master) }

// notice is told of all signals.
func (all relays) notice(sig os.Signal) {
	for _, r := range all {
		switch sig {
		case syscall.SIGWINCH:
			r.resize()
		case syscall.SIGCONT:
			r.attach() // it may be in the foreground now
		}
	}
}

// controlling reports whether one of them controls the command, and tells it when
// its size has changed.
func (all relays) controlling() bool {
	for _, r := range all {
		if r.keys != nil {
			return true
		}
	}
	return false
}

// stop waits for the rest of the output, and gives the terminals back as they were.
func (all relays) stop() {
	for _, r := range all {
		r.stop()
	}
}

func (r *relay) stop() {
	<-r.copied
	close(r.stopped)
	if r.followed != nil {
		<-r.followed
	}
	r.restore()
	if r.command != nil {
		r.command.Close()
	}
}
