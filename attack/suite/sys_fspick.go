// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Picks the file system of the root directory to change its options.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Root: true,
		Run: func() error {
			_, err := unix.Fspick(unix.AT_FDCWD, "/", unix.FSPICK_CLOEXEC)
			return err
		},
	})
}
