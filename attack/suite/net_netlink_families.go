// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Makes a socket of any protocol of netlink but that of routes.
package main

import (
	"errors"

	"golang.org/x/sys/unix"
)

func init() {
	attack(Attack{
		Run: func() error {
			err := errNothing
			for protocol := 1; protocol < 32; protocol++ {
				fd, e := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, protocol)
				if e == nil {
					unix.Close(fd)
					return nil
				}
				if errors.Is(e, unix.EPERM) || errors.Is(e, unix.EPROTONOSUPPORT) {
					err = e
				}
			}
			return err
		},
	})
}
