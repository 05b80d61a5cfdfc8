// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Changes the mode of a file of its own user in a read-only root.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Run:     on(func(p string) error { return unix.Chmod(p, 0o600) }, readonlyFile),
		Sibling: on(func(p string) error { return unix.Chmod(p, 0o600) }, workspaceFile),
	})
}
