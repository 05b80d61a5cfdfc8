// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Sets an extended attribute of a file of its own user in a read-only root.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Run:     on(setxattr, readonlyFile),
		Sibling: on(setxattr, workspaceFile),
	})
}

func setxattr(path string) error { return unix.Setxattr(path, "user.attack", []byte("x"), 0) }
