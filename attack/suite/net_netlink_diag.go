// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Lists the UNIX sockets of the host with their paths by netlink.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Run: func() error {
			_, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_SOCK_DIAG)
			return err
		},
	})
}
