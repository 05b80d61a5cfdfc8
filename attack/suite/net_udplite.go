// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Makes a UDP-Lite socket, and sends.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Run: func() error {
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, unix.IPPROTO_UDPLITE)
			if err != nil {
				return err
			}
			return unix.Sendto(fd, []byte("hello"), 0, inet(at("UDP")))
		},
	})
}
