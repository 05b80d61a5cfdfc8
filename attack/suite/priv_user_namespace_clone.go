// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Makes a user namespace by clone.

package main

import (
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

func init() {
	attack(Attack{
		DesignWorktree: "user namespaces are left to browsers and build tools; what they could mount, Landlock denies",
		Run: func() error {
			cmd := exec.Command("/proc/self/exe", "identity")
			cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER}
			return cmd.Run()
		},
		Sibling: func() error { return exec.Command("/proc/self/exe", "identity").Run() },
	})
}
