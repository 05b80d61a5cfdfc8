// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Asks for the address of a host process's list of locks.

package main

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

func init() {
	attack(Attack{
		Run: func() error {
			var head, size uintptr
			return do(unix.SYS_GET_ROBUST_LIST, uintptr(atInt("HOST_PID")), uintptr(unsafe.Pointer(&head)), uintptr(unsafe.Pointer(&size)))
		},
	})
}
