// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package executor

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A supervisor passes the signals that it is sent on to its task. It is started
// with all of them blocked, and takes them from a signalfd(2). Some Go's runtime
// does not leave blocked: of those, the ones that people send are ignored until
// the task runs, and then raised again as signals that stay blocked. os/signal
// could tell of them, but not without three more threads. The plugin sends all by
// a signal that stays blocked: none is lost, nor mistaken for one of the
// supervisor's own.

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
var sentByPeople = []unix.Signal{unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGABRT, unix.SIGTERM}

// raised is added to the number of a signal of sentByPeople to raise it again:
// the sum is a real time signal.
const raised = 45

// onSignal raises a signal again. The kernel calls it, in the midst of anything
// that Go does: it must be no Go.
//
//nolint:unused // its address is
func onSignal()

// fromSignal ends a handler.
//
//nolint:unused // its address is
func fromSignal()

// Where the kernel finds onSignal and fromSignal.
var onSignalAddress, fromSignalAddress uintptr

// sigaction is struct sigaction of the kernel, not of libc.
type sigaction struct {
	handler  uintptr
	flags    uint64
	restorer uintptr
	mask     uint64
}

// Of linux/signal.h.
const (
	ignored    = 1          // SIG_IGN
	saRestorer = 0x04000000 // SA_RESTORER
	saOnStack  = 0x08000000 // SA_ONSTACK: a goroutine's stack is too small
	saRestart  = 0x10000000 // SA_RESTART
)

// set has the kernel do this about a signal.
func (a *sigaction) set(sig unix.Signal) error {
	const maskSize = 8
	if _, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(a)), 0, maskSize, 0, 0); errno != 0 {
		return fmt.Errorf("rt_sigaction(2) for signal %d: %w", int(sig), errno)
	}
	return nil
}

// signalQueue is a signalfd with the signals that a supervisor was sent.
type signalQueue struct{ *os.File }

// openSignals takes the signals that are blocked. From now on, none of the
// others that people send ends this process.
func openSignals() (q signalQueue, err error) {
	for _, sig := range sentByPeople {
		if err := (&sigaction{handler: ignored}).set(sig); err != nil {
			return q, err
		}
	}
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
	return signalQueue{os.NewFile(uintptr(fd), "signals")}, nil
}

// raiseAgain has what people send come by the queue, too.
func raiseAgain() error {
	raise := &sigaction{
		handler: onSignalAddress, restorer: fromSignalAddress,
		flags: saOnStack | saRestart | saRestorer, mask: ^uint64(0),
	}
	for _, sig := range sentByPeople {
		if err := raise.set(sig); err != nil {
			return err
		}
	}
	return nil
}

// forward passes signals on to all processes of the task, for as long as this
// process lives.
func (q signalQueue) forward() {
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
			if again := sig - raised; int(info.Pid) == os.Getpid() && slices.Contains(sentByPeople, again) {
				sig = again
			}
			signalAll(sig)
		}
	}
}
