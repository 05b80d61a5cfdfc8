// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Takes data from a TCP connection that the plugin left open.

package main

import (
	"errors"

	"golang.org/x/sys/unix"
)

func init() {
	attack(Attack{
		Run: func() error {
			var buf [64]byte
			n, _, err := unix.Recvfrom(atInt("FD_SOCKET"), buf[:], unix.MSG_DONTWAIT|unix.MSG_PEEK)
			if errors.Is(err, unix.EAGAIN) {
				return nil
			}
			return leaked(buf[:max(n, 0)], err)
		},
	})
}
