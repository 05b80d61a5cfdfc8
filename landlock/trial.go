// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package landlock

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Trial proves that the kernel enforces what it accepts: it tries one operation
// of each kind that a confined thread is denied.
type Trial struct {
	handled  Rights
	listener int // on an abstract UNIX socket
}

// trialDevice can be opened during a trial, but not be controlled.
const trialDevice = "/dev/null"

// NewTrial prepares a trial of all that a kernel with this ABI can handle. Its
// sockets are made here, outside of the confinement.
func NewTrial(abi ABI) (*Trial, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("landlock: making a UNIX socket: %w", err)
	}
	t := &Trial{abi.Rights(), fd}
	if err = unix.Bind(fd, &unix.SockaddrUnix{}); err == nil { // the kernel chooses an abstract name, unix(7)
		err = unix.Listen(fd, 1)
	}
	if err != nil {
		t.Close()
		return nil, fmt.Errorf("landlock: listening on an abstract UNIX socket: %w", err)
	}
	return t, nil
}

// Ruleset is what the thread is to enter.
func (t *Trial) Ruleset() *Ruleset {
	return &Ruleset{
		HandledFS: t.handled.FS, HandledNet: t.handled.Net, Scoped: t.handled.Scope,
		Paths: []PathRule{{Path: trialDevice, Access: ReadFile}},
	}
}

// AllDenied returns nil if the calling thread, that has entered the ruleset, is
// denied what it denies.
func (t *Trial) AllDenied() error {
	if err := Denied("/"); err != nil {
		return err
	}
	for _, try := range []struct {
		handled bool
		denied  func() error
	}{
		{t.handled.FS&Truncate != 0, truncateDenied},
		{t.handled.FS&IoctlDev != 0, ioctlDenied},
		{t.handled.Net&ConnectTCP != 0, func() error { return connectDenied("TCP", unix.SOCK_STREAM) }},
		{t.handled.Net&ConnectSendUDP != 0, func() error { return connectDenied("UDP", unix.SOCK_DGRAM) }},
		{t.handled.Scope&ScopeSignal != 0, func() error {
			return denied("signaling the parent process", unix.Kill(unix.Getppid(), 0), unix.EPERM)
		}},
		{t.handled.Scope&ScopeAbstractUnixSocket != 0, t.abstractDenied},
	} {
		if !try.handled {
			continue
		}
		if err := try.denied(); err != nil {
			return err
		}
	}
	return nil
}

// Close closes the trial's sockets.
func (t *Trial) Close() { unix.Close(t.listener) }

// truncateDenied truncates a file that is always there, and ignores it.
func truncateDenied() error {
	const file = "/proc/self/comm"
	return denied("truncating "+file, unix.Truncate(file, 0), unix.EACCES)
}

func ioctlDenied() error {
	fd, err := unix.Open(trialDevice, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("landlock: opening %s, which a rule admits: %w", trialDevice, err)
	}
	defer unix.Close(fd)
	_, err = unix.IoctlGetTermios(fd, unix.TCGETS) // not a terminal: ENOTTY otherwise
	return denied("ioctl(2) on "+trialDevice, err, unix.EACCES)
}

func (t *Trial) abstractDenied() error {
	name, err := unix.Getsockname(t.listener)
	if err != nil {
		return fmt.Errorf("landlock: %w", err)
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("landlock: making a UNIX socket: %w", err)
	}
	defer unix.Close(fd)
	return denied("connecting to an abstract UNIX socket", unix.Connect(fd, name), unix.EPERM)
}

// connectDenied connects to a port of the loopback interface. Whether anybody
// listens there, or the interface is up, does not matter: Landlock is asked
// before.
func connectDenied(protocol string, kind int) error {
	const discard = 9
	fd, err := unix.Socket(unix.AF_INET, kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("landlock: making a %s socket: %w", protocol, err)
	}
	defer unix.Close(fd)
	err = unix.Connect(fd, &unix.SockaddrInet4{Port: discard, Addr: [4]byte{127, 0, 0, 1}})
	return denied(fmt.Sprintf("connecting to %s port %d", protocol, discard), err, unix.EACCES)
}
