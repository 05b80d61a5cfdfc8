// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Changes the times of a file of its own user in a read-only root.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Run:     on(touch, readonlyFile),
		Sibling: on(touch, workspaceFile),
	})
}

func touch(path string) error {
	now := []unix.Timespec{{Sec: 1}, {Sec: 1}}
	return unix.UtimesNanoAt(unix.AT_FDCWD, path, now, 0)
}
