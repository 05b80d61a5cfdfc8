// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Connects to a UNIX socket outside of every root through io_uring.

package main

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

func init() {
	attack(Attack{
		Run: func() error {
			fd, err := uring(sqe{opcode: 45, fd: unix.AF_UNIX, off: unix.SOCK_STREAM})
			if err != nil {
				return err
			}
			var address unix.RawSockaddrUnix
			address.Family = unix.AF_UNIX
			for i, c := range []byte(at("UNIX_PATH")) {
				address.Path[i] = int8(c)
			}
			_, err = uring(sqe{opcode: 16, fd: int32(fd), addr: uint64(uintptr(unsafe.Pointer(&address))), off: uint64(unsafe.Sizeof(address))})
			return err
		},
	})
}
