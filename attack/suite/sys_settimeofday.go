// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Sets the kernel's time zone: to none.

package main

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

func init() {
	attack(Attack{
		Root: true,
		Run: func() error {
			var zone [2]int32
			return do(unix.SYS_SETTIMEOFDAY, 0, uintptr(unsafe.Pointer(&zone)))
		},
	})
}
