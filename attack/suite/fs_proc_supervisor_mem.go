// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Opens the memory of process 1 for writing.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Root:    true,
		Run:     func() error { return open("/proc/1/mem", unix.O_RDWR) },
		Sibling: func() error { return open("/proc/self/mem", unix.O_RDONLY) },
	})
}
