// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Sends on a TCP connection that the plugin left open, through io_uring.

package main

import "unsafe"

func init() {
	attack(Attack{
		Run: func() error {
			data := []byte("hello")
			_, err := uring(sqe{opcode: 26, fd: int32(atInt("FD_SOCKET")), addr: uint64(uintptr(unsafe.Pointer(&data[0]))), length: 5})
			return err
		},
	})
}
