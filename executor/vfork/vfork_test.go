// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package vfork

import (
	"runtime"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// text is a string as C has it, at an address that stays.
func text(s string) uintptr {
	p, err := unix.BytePtrFromString(s)
	if err != nil {
		panic(err)
	}
	kept = append(kept, p)
	return uintptr(unsafe.Pointer(p))
}

var kept []any

// bear runs a child, and returns its exit status as well.
func bear(t *testing.T, calls ...Call) (failure *Failure, status int) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	syscall.ForkLock.Lock()
	pid, errno, failure := Run(unix.SYS_CLONE, unix.CLONE_VM|unix.CLONE_VFORK|uintptr(unix.SIGCHLD), 0, 0, calls)
	syscall.ForkLock.Unlock()
	if errno != 0 {
		t.Fatal(unix.Errno(errno))
	}
	var ws unix.WaitStatus
	if _, err := unix.Wait4(pid, &ws, 0, nil); err != nil {
		t.Fatal(err)
	}
	return failure, ws.ExitStatus()
}

func execute(file string, args ...string) Call {
	list := &[8]uintptr{text(file)}
	for i, arg := range args {
		list[i+1] = text(arg)
	}
	kept = append(kept, list)
	env := &[1]uintptr{}
	kept = append(kept, env)
	return Call{Number: unix.SYS_EXECVE, Args: [5]uintptr{text(file), uintptr(unsafe.Pointer(list)), uintptr(unsafe.Pointer(env))}, Last: true}
}

var closeNothing = Call{Number: unix.SYS_CLOSE, Args: [5]uintptr{^uintptr(0)}} // EBADF

func TestRun(t *testing.T) {
	ends := execute("/bin/sh", "-c", "exit 7")
	absent := execute("/none")
	tolerated := closeNothing
	tolerated.Tolerated[1] = Errno(unix.EBADF)
	fails := closeNothing
	fails.Fails = Errno(unix.EBADF)
	works := Call{Number: unix.SYS_GETPID}
	mustFail := works
	mustFail.Fails = Errno(unix.EACCES)
	unknown := absent
	unknown.Tolerated[0] = Errno(unix.ENOENT)
	// The descriptor that it opens is the one that it makes its standard output.
	file := Call{Number: unix.SYS_OPENAT, Args: [5]uintptr{0, text("/dev/full"), unix.O_WRONLY}}
	output := Call{Number: unix.SYS_DUP3, Args: [5]uintptr{0, 1, 0}, OfLast: true}
	for name, tc := range map[string]struct {
		calls   []Call
		failure *Failure
		status  int
	}{
		"a program":              {[]Call{works, ends}, nil, 7},
		"the second of two":      {[]Call{absent, ends}, nil, 7},
		"an error":               {[]Call{works, closeNothing, ends}, &Failure{1, Errno(unix.EBADF)}, 1},
		"an error that may be":   {[]Call{tolerated, ends}, nil, 7},
		"an error that must be":  {[]Call{fails, ends}, nil, 7},
		"no error":               {[]Call{mustFail, ends}, &Failure{0, 0}, 1},
		"no such program":        {[]Call{absent}, &Failure{0, Errno(unix.ENOENT)}, 1},
		"found nowhere":          {[]Call{unknown, unknown}, &Failure{2, 0}, 1},
		"refused, found nowhere": {[]Call{execute("/"), unknown}, &Failure{0, Errno(unix.EACCES)}, 1},
		"nothing to do":          {nil, &Failure{0, 0}, 1},
		"a result":               {[]Call{file, output, execute("/bin/sh", "-c", "echo x 2> /dev/null || exit 9")}, nil, 9},
	} {
		failure, status := bear(t, tc.calls...)
		if status != tc.status || (failure == nil) != (tc.failure == nil) || failure != nil && *failure != *tc.failure {
			t.Errorf("%s: %+v, status %d, want %+v, %d", name, failure, status, tc.failure, tc.status)
		}
	}
}

func TestRunWithoutAChild(t *testing.T) {
	syscall.ForkLock.Lock()
	defer syscall.ForkLock.Unlock()
	pid, errno, failure := Run(unix.SYS_CLONE, unix.CLONE_VM|unix.CLONE_VFORK|unix.CLONE_THREAD, 0, 0, nil)
	if unix.Errno(errno) != unix.EINVAL || failure != nil {
		t.Errorf("%d, %v, %v, expected EINVAL", pid, unix.Errno(errno), failure)
	}
}

// A child is born while the garbage collector, other threads and their own children are at
// work.
func TestRunAmongOthers(t *testing.T) {
	stop := make(chan struct{})
	defer close(stop)
	for range 3 {
		go func() {
			for {
				select {
				case <-stop:
					return
				default:
					runtime.GC()
					_ = make([]byte, 1<<16)
				}
			}
		}()
	}
	for range 200 {
		ends := execute("/bin/true")
		if failure, status := bear(t, Call{Number: unix.SYS_GETPID}, ends); failure != nil || status != 0 {
			t.Fatalf("%+v, status %d", failure, status)
		}
	}
}
