// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Truncates a file of a read-only root by opening it for reading with O_TRUNC.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Run:     func() error { return open(readonlyFile(), unix.O_RDONLY|unix.O_TRUNC) },
		Sibling: func() error { return open(workspaceFile(), unix.O_RDONLY|unix.O_TRUNC) },
	})
}
