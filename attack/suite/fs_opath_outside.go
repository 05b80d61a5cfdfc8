// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Opens a file outside of every root by path only, and reads its metadata.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Run:     on(statPath, secret),
		Sibling: on(statPath, workspaceFile),
	})
}

func statPath(path string) error {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	var st unix.Stat_t
	return unix.Fstat(fd, &st)
}
