// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package seccomp

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Supported returns nil if the kernel has seccomp filters that can kill a
// process (Linux 4.14), and what is missing if not.
func Supported() error {
	action := uint32(unix.SECCOMP_RET_KILL_PROCESS)
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_GET_ACTION_AVAIL, 0, uintptr(unsafe.Pointer(&action)))
	if errno != 0 {
		return fmt.Errorf("seccomp: no filters with KILL_PROCESS in this kernel: %w: Linux 4.14 or newer with CONFIG_SECCOMP_FILTER=y is needed", errno)
	}
	return nil
}

// Call is the system call by which a thread puts itself under a filter. [Install] makes
// it; a child that shares its parent's memory until execve(2), and may not run Go's
// code, makes the same by other means.
type Call struct {
	Name   string // for errors
	Number uintptr
	Args   [3]uintptr
}

// InstallCall is the system call of [Install], with SECCOMP_FILTER_FLAG_* of seccomp(2).
// What it points to is the program and memory, which must stay, and where they are, until
// it was made: memory that is referred to by nothing else may be on a stack, which moves.
func InstallCall(p Program, flags uintptr, memory *unix.SockFprog) Call {
	*memory = unix.SockFprog{Len: uint16(len(p)), Filter: &p[0]}
	return Call{
		fmt.Sprintf("installing a filter of %d instructions", len(p)), unix.SYS_SECCOMP,
		[3]uintptr{unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(memory))},
	}
}

// Install puts the calling thread, and all that it starts from now on, under
// the filter. It cannot be undone. The thread must have no_new_privs set (or
// CAP_SYS_ADMIN): without, the kernel answers EACCES. Other threads of the
// process stay as they are.
func Install(p Program) error { return install(p, 0) }

// InstallAll puts all threads of the process under the filter, and sets
// no_new_privs, which the calling thread must have, for them.
func InstallAll(p Program) error { return install(p, unix.SECCOMP_FILTER_FLAG_TSYNC) }

func install(p Program, flags uintptr) error {
	if len(p) == 0 {
		return fmt.Errorf("seccomp: an empty program, expected the result of Compile")
	}
	memory := new(unix.SockFprog)
	c := InstallCall(p, flags, memory)
	// memory may be on the stack: its address is one in the argument alone, see package unsafe.
	thread, _, errno := unix.Syscall(c.Number, c.Args[0], c.Args[1], uintptr(unsafe.Pointer(memory)))
	runtime.KeepAlive(p)
	switch errno {
	case 0:
		if thread != 0 {
			return fmt.Errorf("seccomp: installing a filter: thread %d has another one of its own", thread)
		}
		return nil
	case unix.EACCES:
		return fmt.Errorf("seccomp: installing a filter: %w: set no_new_privs first", errno)
	}
	return fmt.Errorf("seccomp: %s: %w", c.Name, errno)
}
