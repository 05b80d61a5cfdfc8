// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Package vfork starts a process that makes a list of system calls, the last of
// which executes a program.
//
// What a process can do to itself only, such as entering a Landlock domain or a
// seccomp filter, Go's own way to start one cannot: an executor is a program that
// does so and then executes another one. To start that takes most of the time of a
// start. A child that shares its parent's memory, as that of vfork(2) does, can make
// any system call, as long as it does nothing else: no memory, no stack but what
// there is, no other function of Go.
package vfork

import "unsafe"

// Call is a system call that a child makes.
type Call struct {
	Number uintptr
	// Args are numbers, or addresses of memory that stays where it is until
	// [Run] returns: on the heap, with a pointer to it elsewhere.
	Args [5]uintptr
	// Tolerated are errors that count as success.
	Tolerated [2]Errno
	// Fails, if not 0, is the error that the call must fail with.
	Fails Errno
	// Got and Want, if not nil, are Size bytes of memory each: what the call has
	// written, and what that must be. They stay where they are until [Run] returns.
	Got, Want unsafe.Pointer
	Size      uintptr
	// OfLast: the first argument is the result of the call before.
	OfLast bool
	// Last: it executes a program. If it fails, the next call is tried. Tolerated
	// errors are not worth to be told.
	Last bool
}

// Errno is one of errno(3), which are less than 4096.
type Errno uint16

// Failure is what a child did not get past.
type Failure struct {
	Call  int   // its index; that of the list's end if all of the last ones failed in a way that is tolerated
	Errno Errno // 0 if a call works that must fail, or does not say what it must
}

// Run makes a child by a system call, clone(2) or clone3(2), whose flags must have
// CLONE_VM and CLONE_VFORK, and without an own stack for it; and returns when it
// executes a program, or cannot. Then failure is not nil, and the child has ended
// but for being waited for.
//
// The caller holds syscall.ForkLock. Other threads of this process go on.
//
//go:noinline
//go:norace
//go:nocheckptr
func Run(number, a1, a2, a3 uintptr, calls []Call) (pid int, errno uintptr, failure *Failure) {
	// It is made before there is a child, which shares it.
	said := &Failure{Call: -1}
	beforeFork()
	result, errno := rawCall(number, a1, a2, a3, 0, 0)
	if errno != 0 || result != 0 {
		afterFork()
		if errno != 0 || said.Call < 0 {
			said = nil
		}
		return int(result), errno, said
	}

	// The child.
	afterForkInChild()
	last := uintptr(0)
	untold := Failure{Call: len(calls)} // as long as a program may still execute
	for i := 0; i < len(calls); i++ {
		c := &calls[i]
		first := c.Args[0]
		if c.OfLast {
			first = last
		}
		result, number := rawCall(c.Number, first, c.Args[1], c.Args[2], c.Args[3], c.Args[4])
		last = result
		errno := Errno(number)
		tolerated := errno != 0 && (errno == c.Tolerated[0] || errno == c.Tolerated[1])
		if c.Last {
			if !tolerated {
				untold.Call, untold.Errno = i, errno
			}
			continue
		}
		if errno != c.Fails && !tolerated {
			said.Call, said.Errno = i, errno
			exit()
		}
		if c.Got == nil || errno != 0 {
			continue
		}
		for at := uintptr(0); at < c.Size; at++ {
			if *(*byte)(unsafe.Add(c.Got, at)) != *(*byte)(unsafe.Add(c.Want, at)) {
				said.Call, said.Errno = i, 0
				exit()
			}
		}
	}
	said.Call, said.Errno = untold.Call, untold.Errno
	exit()
	return 0, 0, nil
}

//go:nosplit
func exit() {
	for {
		_, _ = rawCall(exitGroup, 1, 0, 0, 0, 0)
	}
}

// rawCall makes a system call without any help of Go's runtime. Parent and child of
// a clone return from it on the same stack, the child first: the return address is
// kept in a register, since the child writes over the one on the stack.
//
//go:noescape
func rawCall(number, a1, a2, a3, a4, a5 uintptr) (result, errno uintptr)

// What package syscall has the runtime do around a fork: the child runs none of its
// signal handlers.

//go:linkname beforeFork syscall.runtime_BeforeFork
func beforeFork()

//go:linkname afterFork syscall.runtime_AfterFork
func afterFork()

//go:linkname afterForkInChild syscall.runtime_AfterForkInChild
func afterForkInChild()
