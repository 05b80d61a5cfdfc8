// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Moves a file of a read-only root away through io_uring.

package main

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

func init() {
	attack(Attack{
		Run: func() error {
			from, to := append([]byte(readonly()+"/uring"), 0), append([]byte(freshName("uring")), 0)
			_, err := uring(sqe{opcode: 35, fd: unix.AT_FDCWD, addr: uint64(uintptr(unsafe.Pointer(&from[0]))), length: 0xffffff9c, off: uint64(uintptr(unsafe.Pointer(&to[0])))})
			return err
		},
	})
}
