// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Handles page faults of its own, to halt the kernel at chosen moments.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Run: func() error {
			const userModeOnly = 1
			return do(unix.SYS_USERFAULTFD, unix.O_CLOEXEC|userModeOnly)
		},
	})
}
