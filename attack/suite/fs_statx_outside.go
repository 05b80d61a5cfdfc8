// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Finds out the owner of a file outside of every root by statx.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Run:     on(statx, secret),
		Sibling: on(statx, workspaceFile),
	})
}

func statx(path string) error {
	var st unix.Statx_t
	return unix.Statx(unix.AT_FDCWD, path, 0, unix.STATX_BASIC_STATS, &st)
}
