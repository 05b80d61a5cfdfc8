// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Makes a socket, connects and receives through io_uring alone.

package main

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

func init() {
	attack(Attack{
		Run: func() error {
			fd, err := uring(sqe{opcode: 45, fd: unix.AF_INET, off: unix.SOCK_STREAM})
			if err != nil {
				return err
			}
			to := inet(at("TCP"))
			address := unix.RawSockaddrInet4{Family: unix.AF_INET, Port: uint16(to.Port>>8 | to.Port<<8), Addr: to.Addr}
			if _, err := uring(sqe{opcode: 16, fd: int32(fd), addr: uint64(uintptr(unsafe.Pointer(&address))), off: 16}); err != nil {
				return err
			}
			var buf [64]byte
			n, err := uring(sqe{opcode: 27, fd: int32(fd), addr: uint64(uintptr(unsafe.Pointer(&buf))), length: 64})
			return leaked(buf[:max(n, 0)], err)
		},
	})
}
