// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Reads a secret by a descriptor of a directory that the plugin left open.

package main

import (
	"os"

	"golang.org/x/sys/unix"
)

func init() {
	attack(Attack{
		Run: func() error {
			fd, err := unix.Openat(atInt("FD_DIR"), "secret", unix.O_RDONLY, 0)
			if err != nil {
				return err
			}
			return readFrom(os.NewFile(uintptr(fd), "secret"))
		},
	})
}
