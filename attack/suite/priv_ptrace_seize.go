// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Seizes a process of the same user on the host.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Run: func() error { return unix.PtraceSeize(atInt("HOST_PID")) },
	})
}
