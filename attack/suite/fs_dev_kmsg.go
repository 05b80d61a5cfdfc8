// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Opens the kernel's log.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Root:    true,
		Run:     func() error { return open("/dev/kmsg", unix.O_RDONLY) },
		Sibling: func() error { return open("/dev/null", unix.O_RDWR) },
	})
}
