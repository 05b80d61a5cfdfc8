// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Loads a module into the kernel from a file. Its image is not one: the kernel finds that out as the last thing.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Root: true,
		Run: func() error {
			fd, err := unix.Open(workspaceFile(), unix.O_RDONLY|unix.O_CLOEXEC, 0)
			must(err)
			return reached(unix.FinitModule(fd, "", 0), unix.ENOEXEC)
		},
	})
}
