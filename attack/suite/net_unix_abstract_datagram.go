// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Sends to an abstract UNIX datagram socket of the host.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		NetworkABI: 6,
		Run: func() error {
			fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM, 0)
			if err != nil {
				return err
			}
			return unix.Sendto(fd, []byte("hello"), 0, &unix.SockaddrUnix{Name: at("ABSTRACT_DATAGRAM")})
		},
	})
}
