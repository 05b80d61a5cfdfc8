// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Opens a setting of the kernel in /sys for writing.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Root: true,
		Run:  func() error { return open("/sys/kernel/uevent_helper", unix.O_WRONLY) },
	})
}
