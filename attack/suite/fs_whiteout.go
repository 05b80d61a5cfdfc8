// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Leaves a whiteout device behind by RENAME_WHITEOUT in a read-only root.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Run: func() error {
			return unix.Renameat2(unix.AT_FDCWD, readonly()+"/whiteout", unix.AT_FDCWD, readonly()+"/whiteout-moved", unix.RENAME_WHITEOUT)
		},
		Root: true,
	})
}
