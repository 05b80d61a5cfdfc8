// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Raises its own priority above that of others.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Root:    true,
		Run:     func() error { return unix.Setpriority(unix.PRIO_PROCESS, 0, -5) },
		Sibling: func() error { return unix.Setpriority(unix.PRIO_PROCESS, 0, 5) },
	})
}
