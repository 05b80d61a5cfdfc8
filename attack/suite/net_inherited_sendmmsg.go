// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Sends by sendmmsg on a TCP connection that the plugin left open.

package main

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

func init() {
	attack(Attack{
		Run: func() error {
			data := []byte("hello")
			vector := unix.Iovec{Base: &data[0], Len: uint64(len(data))}
			message := struct {
				unix.Msghdr
				length uint32
			}{}
			message.Iov, message.Iovlen = &vector, 1
			return do(unix.SYS_SENDMMSG, uintptr(atInt("FD_SOCKET")), uintptr(unsafe.Pointer(&message)), 1, 0)
		},
	})
}
