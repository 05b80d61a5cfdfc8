// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Becomes another user.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Root: true,
		Run:  func() error { return do(unix.SYS_SETRESUID, 12345, 12345, 12345) },
	})
}
