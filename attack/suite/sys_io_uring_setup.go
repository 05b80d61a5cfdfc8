// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Makes an io_uring, through which operations pass that a filter of system calls does not see.

package main

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

func init() {
	attack(Attack{
		Run: func() error {
			var params [120]byte
			return do(unix.SYS_IO_URING_SETUP, 1, uintptr(unsafe.Pointer(&params)))
		},
	})
}
