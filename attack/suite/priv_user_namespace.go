// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Makes a user namespace, in which it has all capabilities: attack surface of the kernel.

package main

import (
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

func init() {
	attack(Attack{
		DesignWorktree: "user namespaces are left to browsers and build tools; what they could mount, Landlock denies",
		Run:            func() error { return unshared(unix.CLONE_NEWUSER) },
	})
}

// unshared runs a program in new namespaces.
func unshared(flags uintptr) error {
	cmd := exec.Command("/proc/self/exe", "identity")
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: flags}
	return cmd.Run()
}
