// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Changes into a directory outside of every root by a descriptor that the plugin left open.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Run: func() error { return unix.Fchdir(atInt("FD_DIR")) },
		Sibling: func() error {
			fd, err := unix.Open(at("WORKSPACE"), unix.O_RDONLY|unix.O_DIRECTORY, 0)
			must(err)
			return unix.Fchdir(fd)
		},
	})
}
