// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Truncates a file of its own user in a read-only root.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Run:     func() error { return unix.Truncate(readonlyFile(), 1) },
		Sibling: func() error { return unix.Truncate(workspaceFile(), 1) },
	})
}
