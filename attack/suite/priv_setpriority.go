// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Lowers the priority of a host process of the same user.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Run:     func() error { return unix.Setpriority(unix.PRIO_PROCESS, atInt("HOST_PID"), 1) },
		Sibling: func() error { return unix.Setpriority(unix.PRIO_PROCESS, 0, 1) },
	})
}
