// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Removes a file outside of every root.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Run:     func() error { return unix.Unlink(outside() + "/unlink") },
		Sibling: func() error { return unix.Unlink(workspaceFile()) },
	})
}
