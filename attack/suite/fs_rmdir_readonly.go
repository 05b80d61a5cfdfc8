// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Removes a directory of a read-only root.

package main

import (
	"os"

	"golang.org/x/sys/unix"
)

func init() {
	attack(Attack{
		Run: func() error { return unix.Rmdir(readonly() + "/rmdir") },
		Sibling: func() error {
			dir := freshName("rmdir")
			must(os.Mkdir(dir, 0o777))
			return unix.Rmdir(dir)
		},
	})
}
