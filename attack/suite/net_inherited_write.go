// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Writes to a TCP connection that the plugin left open.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Run: func() error {
			_, err := unix.Write(atInt("FD_SOCKET"), []byte("hello"))
			return err
		},
	})
}
