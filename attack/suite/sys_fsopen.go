// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Makes a file system by the new mount calls, and attaches it to the workspace.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Root: true,
		Run: func() error {
			mnt, err := detachedTmpfs()
			if err != nil {
				return err
			}
			return unix.MoveMount(mnt, "", unix.AT_FDCWD, freshDir("fsopen"), unix.MOVE_MOUNT_F_EMPTY_PATH)
		},
	})
}
