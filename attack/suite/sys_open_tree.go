// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Clones the mounts of a read-only root as a detached tree.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Root: true,
		Run: func() error {
			_, err := unix.OpenTree(unix.AT_FDCWD, readonly(), unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
			return err
		},
	})
}
