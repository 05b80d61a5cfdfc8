// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Asks where the pages of a host process's memory are.

package main

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

func init() {
	attack(Attack{
		Run: func() error {
			page, status := uintptr(atInt("HOST_ADDR"))&^4095, int32(0)
			return do(unix.SYS_MOVE_PAGES, uintptr(atInt("HOST_PID")), 1, uintptr(unsafe.Pointer(&page)), 0, uintptr(unsafe.Pointer(&status)), 0)
		},
	})
}
