// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Offers a service through io_uring alone: socket and listen, without bind.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Run: func() error {
			fd, err := uring(sqe{opcode: 45, fd: unix.AF_INET, off: unix.SOCK_STREAM})
			if err != nil {
				return err
			}
			_, err = uring(sqe{opcode: 57, fd: int32(fd), length: 1}) // IORING_OP_LISTEN, Linux 6.11
			return err
		},
	})
}
