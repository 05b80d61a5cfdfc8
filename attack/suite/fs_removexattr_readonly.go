// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Removes an extended attribute of a file of its own user in a read-only root.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Run: func() error { return unix.Removexattr(readonlyFile(), "user.kept") },
		Sibling: func() error {
			file := workspaceFile()
			must(setxattr(file))
			return unix.Removexattr(file, "user.attack")
		},
	})
}
