// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Appends to a file outside of every root.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Run:     func() error { return open(outside()+"/write", unix.O_WRONLY|unix.O_APPEND) },
		Sibling: func() error { return open(workspaceFile(), unix.O_WRONLY|unix.O_APPEND) },
	})
}
