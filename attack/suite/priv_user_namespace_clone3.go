// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Makes a user namespace by clone3, whose flags a filter cannot see.

package main

import (
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

func init() {
	attack(Attack{
		DesignWorktree: "user namespaces are left to browsers and build tools; what they could mount, Landlock denies",
		Run:            func() error { return helper("clone3", strconv.Itoa(unix.CLONE_NEWUSER)) },
	})
}

func init() {
	helpers["clone3"] = func(args []string) error {
		flags, err := strconv.Atoi(args[0])
		if err != nil {
			return err
		}
		// struct clone_args: flags, pidfd, child_tid, parent_tid, exit_signal, ...
		clone := [11]uint64{0: uint64(flags), 4: uint64(unix.SIGCHLD)}
		pid, _, errno := unix.RawSyscall(unix.SYS_CLONE3, uintptr(unsafe.Pointer(&clone)), 88, 0)
		if errno == 0 && pid == 0 {
			_, _, _ = unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
		}
		if errno != 0 {
			return errno
		}
		_, err = unix.Wait4(int(pid), nil, 0, nil)
		return err
	}
}
