// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Opens the interface to make file systems in user space.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Run: func() error { return open("/dev/fuse", unix.O_RDWR) },
	})
}
