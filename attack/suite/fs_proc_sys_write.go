// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Opens the kernel's handler of core dumps for writing: a way to run programs as root on the host.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Root:    true,
		Run:     func() error { return open("/proc/sys/kernel/core_pattern", unix.O_WRONLY) },
		Sibling: func() error { return open("/proc/sys/kernel/core_pattern", unix.O_RDONLY) },
	})
}
