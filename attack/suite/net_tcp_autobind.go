// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Offers a service by listen without bind, which lets the kernel choose a port.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Network: true,
		Run: func() error {
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
			if err != nil {
				return err
			}
			return unix.Listen(fd, 1)
		},
	})
}
