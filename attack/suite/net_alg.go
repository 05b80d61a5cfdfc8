// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Opens the kernel's cryptography for user space, a surface with a history of bugs.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Run: func() error {
			fd, err := unix.Socket(unix.AF_ALG, unix.SOCK_SEQPACKET, 0)
			if err != nil {
				return err
			}
			return unix.Bind(fd, &unix.SockaddrALG{Type: "hash", Name: "sha256"})
		},
	})
}
