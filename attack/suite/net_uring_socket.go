// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Makes a socket through io_uring, past a filter of socket calls.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Run: func() error {
			fd, err := uring(sqe{opcode: 45, fd: unix.AF_INET, off: unix.SOCK_STREAM})
			if err != nil {
				return err
			}
			return unix.Close(fd)
		},
	})
}
