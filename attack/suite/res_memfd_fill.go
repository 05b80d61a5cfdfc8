// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Fills files in memory, that are on no file system, with more than the task has.

package main

import (
	"strconv"

	"golang.org/x/sys/unix"
)

func init() {
	attack(Attack{
		Alone: true,
		Run: func() error {
			fd, err := unix.MemfdCreate("fill", unix.MFD_CLOEXEC)
			if err != nil {
				return err
			}
			return fill("/proc/self/fd/" + strconv.Itoa(fd))
		},
	})
}
