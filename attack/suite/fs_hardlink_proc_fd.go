// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Links a file by /proc/self/fd and AT_SYMLINK_FOLLOW into the workspace, after opening it by path only.

package main

import (
	"strconv"

	"golang.org/x/sys/unix"
)

func init() {
	attack(Attack{
		Run:     func() error { return linkPath(secret()) },
		Sibling: func() error { return linkPath(fresh("a")) },
	})
}

func linkPath(path string) error {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	link := freshName("b")
	if err := unix.Linkat(unix.AT_FDCWD, "/proc/self/fd/"+strconv.Itoa(fd), unix.AT_FDCWD, link, unix.AT_SYMLINK_FOLLOW); err != nil {
		return err
	}
	return readSecret(link)
}
