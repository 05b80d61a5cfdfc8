// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Changes its root directory in a user namespace of its own.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		DesignWorktree: "chroot in a user namespace of its own reaches nothing that was not there before",
		Run:            func() error { return namespaced("chroot", at("WORKSPACE"), unix.CLONE_NEWUSER) },
	})
}

func init() {
	helpers["chroot"] = func(args []string) error { return unix.Chroot(args[0]) }
}
