// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Makes an unnamed file in a read-only root, and gives it a name there.

package main

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

func init() {
	attack(Attack{
		Run:     on(linkedTmpfile, readonly),
		Sibling: on(linkedTmpfile, workspace),
	})
}

func linkedTmpfile(dir string) error {
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_WRONLY|unix.O_CLOEXEC, 0o666)
	if err != nil {
		return err
	}
	name := dir + "/tmpfile"
	_ = os.Remove(name)
	return unix.Linkat(unix.AT_FDCWD, "/proc/self/fd/"+strconv.Itoa(fd), unix.AT_FDCWD, name, unix.AT_SYMLINK_FOLLOW)
}
