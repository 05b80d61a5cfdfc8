// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Makes an XDP socket.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Root: true,
		Run: func() error {
			_, err := unix.Socket(unix.AF_XDP, unix.SOCK_RAW, 0)
			return err
		},
	})
}
