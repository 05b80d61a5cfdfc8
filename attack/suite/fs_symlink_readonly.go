// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Makes a symbolic link in a read-only root.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Run:     func() error { return unix.Symlink("/", readonly()+"/symlink") },
		Sibling: func() error { return unix.Symlink("/", freshName("symlink")) },
	})
}
