// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Truncates a file outside of every root by its path.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Run:     func() error { return unix.Truncate(outside()+"/truncate", 0) },
		Sibling: func() error { return unix.Truncate(workspaceFile(), 0) },
	})
}
