// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Changes the mode of a file in a read-only root by /proc/self/fd of a descriptor that is for reading only.

package main

import (
	"strconv"

	"golang.org/x/sys/unix"
)

func init() {
	attack(Attack{
		Run:     on(chmodByFD, readonlyFile),
		Sibling: on(chmodByFD, workspaceFile),
	})
}

func chmodByFD(path string) error {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if err := unix.Fchmod(fd, 0o666); err == nil {
		return nil
	}
	return unix.Chmod("/proc/self/fd/"+strconv.Itoa(fd), 0o666)
}
