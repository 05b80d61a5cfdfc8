// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package executor

import (
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
// the runtime does not leave blocked: of those, the ones that people send are
// ignored until the task runs, and then the runtime notifies it. The plugin sends
// all by a signal that stays blocked: none is lost, nor mistaken for one of the
// supervisor's own.

// What people send goes to the task's first process, as it does without a supervisor
// in between. relayed asks a supervisor to send another signal, whose number is its value,
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

// blockSignals blocks all signals on this thread, and keeps the goroutine on it,
// until restore is called: what is started meanwhile is started with them blocked.
func blockSignals() (restore func(), err error) {
	runtime.LockOSThread()
	var all, before unix.Sigset_t
	for i := range all.Val {
		all.Val[i] = ^all.Val[i]
	}
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, &all, &before); err != nil {
		runtime.UnlockOSThread()
		return nil, fmt.Errorf("blocking signals: %w", err)
	}
	return func() {
		if unix.PthreadSigmask(unix.SIG_SETMASK, &before, nil) == nil {
			runtime.UnlockOSThread() // if not, the thread ends with the goroutine
		}
	}, nil
}

// sentByPeople are signals that Go's runtime does not leave blocked.
var sentByPeople = []os.Signal{unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGABRT, unix.SIGTERM}

// signalQueue is a signalfd with the signals that a supervisor was sent.
type signalQueue struct {
	*os.File
	people chan os.Signal // sentByPeople, once it listens
}

// openSignals takes the signals that are blocked. From now on, none of the
// others that people send ends this process.
func openSignals() (q signalQueue, err error) {
	signal.Ignore(sentByPeople...)
	var blocked unix.Sigset_t
	if err := unix.PthreadSigmask(unix.SIG_BLOCK, nil, &blocked); err != nil {
		return q, fmt.Errorf("asking for the blocked signals: %w", err)
	}
	// Not blocking: the runtime waits for it together with all else, without a
	// thread for it alone.
	fd, err := unix.Signalfd(-1, &blocked, unix.SFD_CLOEXEC|unix.SFD_NONBLOCK)
	if err != nil {
		return q, fmt.Errorf("signalfd(2): %w", err)
	}
	return signalQueue{os.NewFile(uintptr(fd), "signals"), make(chan os.Signal, 64)}, nil
}

// listen has the runtime notify of what people send. From now on, none of it is
// lost.
func (q signalQueue) listen() { signal.Notify(q.people, sentByPeople...) }

// forward passes signals on to the task's first process, for as long as this process
// lives.
func (q signalQueue) forward(first *child) {
	pass := func(sig unix.Signal) { _ = unix.PidfdSendSignal(first.pidfd, sig, nil, 0) }
	go func() {
		for sig := range q.people {
			pass(sig.(unix.Signal))
		}
	}()
	for {
		var info unix.SignalfdSiginfo
		buffer := unsafe.Slice((*byte)(unsafe.Pointer(&info)), unsafe.Sizeof(info))
		if _, err := q.Read(buffer); err != nil {
			return
		}
		switch sig := unix.Signal(info.Signo); sig {
		case unix.SIGURG, unix.SIGPIPE: // of Go's runtime, of a pipe that nobody reads
		case relayed:
			signalAll(unix.Signal(info.Int))
		default:
			pass(sig)
		}
	}
}
