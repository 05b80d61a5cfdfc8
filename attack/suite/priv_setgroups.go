// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Adds itself to the group of the disks.

package main

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

func init() {
	attack(Attack{
		Root: true,
		Run: func() error {
			groups := []uint32{6}
			return do(unix.SYS_SETGROUPS, 1, uintptr(unsafe.Pointer(&groups[0])))
		},
	})
}
