// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Opens a POSIX message queue of a host process, and takes a message.

package main

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

func init() {
	attack(Attack{
		Run: func() error {
			fd, err := call(unix.SYS_MQ_OPEN, ptr(at("MQUEUE")), unix.O_RDWR|unix.O_NONBLOCK, 0, 0)
			if err != nil {
				return err
			}
			var buf [8192]byte
			_, err = call(unix.SYS_MQ_TIMEDRECEIVE, fd, uintptr(unsafe.Pointer(&buf)), 8192, 0, 0)
			return leaked(buf[:], err)
		},
	})
}
