// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Takes contexts for asynchronous I/O, whose number is one for the whole machine.
package main

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

func init() {
	attack(Attack{
		Run: func() error {
			const events = 4096
			var context uintptr
			return do(unix.SYS_IO_SETUP, events, uintptr(unsafe.Pointer(&context)))
		},
	})
}
