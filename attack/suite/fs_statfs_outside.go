// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Finds out how full a file system outside of every root is.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Run:     on(statfs, outside),
		Sibling: on(statfs, workspace),
	})
}

func statfs(path string) error {
	var st unix.Statfs_t
	return unix.Statfs(path, &st)
}
