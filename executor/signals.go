// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package executor

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A supervisor passes the signals that it is sent on to its task. It is started
// with all of them blocked, and takes them from a signalfd(2): to have Go's
// runtime notify it of all would take longer than all else that it does. Some
// the runtime does not leave blocked; of those, the runtime notifies it of the
// ones that people send, once the task runs. The plugin sends all by a signal
// that stays blocked: none is lost, nor mistaken for one of the supervisor's own.

// relayed asks a supervisor to send another signal, whose number is its value,
// to all processes of its task. It is a real time signal that programs do not use.
const relayed = unix.Signal(44)

// queued is what is sent with a signal: siginfo_t, as sigqueue(3) fills it in.
type queued struct {
	signal int32
	errno  int32
	code   int32
	_      int32
	pid    int32
	uid    uint32
	value  int32
	_      [100]byte // it has 128 bytes
}

const siQueue = -1 // SI_QUEUE

// relay has a supervisor send a signal to all processes of its task. It returns
// [ErrGone] if the supervisor has ended.
func (p *process) relay(sig unix.Signal) error {
	info := &queued{
		signal: int32(relayed), code: siQueue, value: int32(sig),
		pid: int32(os.Getpid()), uid: uint32(os.Getuid()),
	}
	return p.send(relayed, (*unix.Siginfo)(unsafe.Pointer(info)))
}

// blockingSignals makes what is started start with all signals blocked.
func blockingSignals(fork func() (int, error)) func() (int, error) {
	return func() (pid int, err error) {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		var all, before unix.Sigset_t
		for i := range all.Val {
			all.Val[i] = ^all.Val[i]
		}
		if err := unix.PthreadSigmask(unix.SIG_SETMASK, &all, &before); err != nil {
			return 0, fmt.Errorf("blocking signals: %w", err)
		}
		defer func() {
			err = errors.Join(err, unix.PthreadSigmask(unix.SIG_SETMASK, &before, nil))
		}()
		return fork()
	}
}

// signalQueue has the signals that a supervisor was sent.
type signalQueue int

// openSignals takes the signals that are blocked.
func openSignals() (signalQueue, error) {
	var blocked unix.Sigset_t
	if err := unix.PthreadSigmask(unix.SIG_BLOCK, nil, &blocked); err != nil {
		return -1, fmt.Errorf("asking for the blocked signals: %w", err)
	}
	fd, err := unix.Signalfd(-1, &blocked, unix.SFD_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("signalfd(2): %w", err)
	}
	return signalQueue(fd), nil
}

// forward passes signals on to all processes of the task, for as long as this
// process lives.
func (q signalQueue) forward() {
	notified := make(chan os.Signal, 8)
	signal.Notify(notified, unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGABRT, unix.SIGTERM)
	go func() {
		for sig := range notified {
			signalAll(sig.(unix.Signal))
		}
	}()
	for {
		var info unix.SignalfdSiginfo
		buffer := unsafe.Slice((*byte)(unsafe.Pointer(&info)), unsafe.Sizeof(info))
		if _, err := unix.Read(int(q), buffer); err != nil {
			if errors.Is(err, unix.EINTR) {
				continue
			}
			return
		}
		switch sig := unix.Signal(info.Signo); sig {
		case unix.SIGURG, unix.SIGPIPE: // of Go's runtime, of a pipe that nobody reads
		case relayed:
			signalAll(unix.Signal(info.Int))
		default:
			signalAll(sig)
		}
	}
}
