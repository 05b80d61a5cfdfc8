// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Binds a UDP port of the host.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Network: true,
		Run: func() error {
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
			if err != nil {
				return err
			}
			return unix.Bind(fd, &unix.SockaddrInet4{})
		},
	})
}
