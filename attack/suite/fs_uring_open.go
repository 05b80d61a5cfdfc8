// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Reads a file outside of every root through io_uring.

package main

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

func init() {
	attack(Attack{
		Run: on(uringRead, secret),
	})
}

func uringRead(path string) error {
	name := append([]byte(path), 0)
	fd, err := uring(sqe{opcode: 18, fd: unix.AT_FDCWD, addr: uint64(uintptr(unsafe.Pointer(&name[0]))), flags: unix.O_RDONLY})
	if err != nil {
		return err
	}
	return readFrom(os.NewFile(uintptr(fd), path))
}
