// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Makes a socket of any family but UNIX, IP and netlink: rarely used code of the kernel.

package main

import (
	"errors"

	"golang.org/x/sys/unix"
)

func init() {
	attack(Attack{
		Run: func() error {
			err := errNothing
			for family := unix.AF_UNSPEC; family < 64; family++ {
				switch family {
				case unix.AF_UNIX, unix.AF_INET, unix.AF_INET6, unix.AF_NETLINK:
					continue
				}
				for _, kind := range []int{unix.SOCK_STREAM, unix.SOCK_DGRAM, unix.SOCK_SEQPACKET, unix.SOCK_RAW} {
					fd, e := unix.Socket(family, kind, 0)
					if e == nil {
						unix.Close(fd)
						return nil
					}
					if errors.Is(e, unix.EPERM) {
						err = e
					}
				}
			}
			return err
		},
	})
}
