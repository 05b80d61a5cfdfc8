// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Lowers the I/O priority of a host process of the same user.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Run:     func() error { return do(unix.SYS_IOPRIO_SET, 1, uintptr(atInt("HOST_PID")), 3<<13) },
		Sibling: func() error { return do(unix.SYS_IOPRIO_SET, 1, 0, 3<<13) },
	})
}
