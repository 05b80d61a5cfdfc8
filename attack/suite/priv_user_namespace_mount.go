// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Mounts a file system in user and mount namespaces of its own.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Run: func() error { return namespaced("mount-tmpfs", at("WORKSPACE"), unix.CLONE_NEWUSER|unix.CLONE_NEWNS) },
	})
}

func init() {
	helpers["mount-tmpfs"] = func(args []string) error {
		return unix.Mount("tmpfs", args[0], "tmpfs", 0, "")
	}
}
