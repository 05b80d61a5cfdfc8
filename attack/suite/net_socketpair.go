// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Makes a pair of connected sockets, over which descriptors can be passed.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Network: true,
		Local:   true,
		Run: func() error {
			_, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
			return err
		},
	})
}
