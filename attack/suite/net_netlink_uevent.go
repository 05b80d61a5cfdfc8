// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Listens to the kernel's events about devices of the host.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Run: func() error {
			fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_KOBJECT_UEVENT)
			if err != nil {
				return err
			}
			return unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: 1})
		},
	})
}
