// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Makes a packet socket, which sees all traffic.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Root: true,
		Run: func() error {
			_, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0x0300)
			return err
		},
	})
}
