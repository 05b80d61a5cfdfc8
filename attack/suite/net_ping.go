// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Sends an ICMP echo request by an unprivileged ping socket.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Network: true,
		Run: func() error {
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, unix.IPPROTO_ICMP)
			if err != nil {
				return err
			}
			return unix.Sendto(fd, []byte{8, 0, 0, 0, 0, 0, 0, 1}, 0, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
		},
	})
}
