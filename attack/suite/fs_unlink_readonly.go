// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Removes a file of a read-only root.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Run:     func() error { return unix.Unlink(readonly() + "/unlink") },
		Sibling: func() error { return unix.Unlink(workspaceFile()) },
	})
}
