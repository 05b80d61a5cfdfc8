// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Lists the network interfaces of the host by netlink.

package main

import (
	"syscall"

	"golang.org/x/sys/unix"
)

func init() {
	attack(Attack{
		Network: true,
		Run: func() error {
			links, err := syscall.NetlinkRIB(unix.RTM_GETLINK, unix.AF_UNSPEC)
			if err == nil && len(links) == 0 {
				return errNothing
			}
			return err
		},
	})
}
