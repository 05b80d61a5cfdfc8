// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Mounts a new /proc, with all that the driver's hides.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Root: true,
		Run:  func() error { return unix.Mount("proc", freshDir("proc"), "proc", 0, "") },
	})
}
