// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Moves the mount of a read-only root away, and so uncovers the directory under it.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Root: true,
		Run: func() error {
			if at("CONTROL") == "1" {
				must(unix.Mount(readonly(), readonly(), "", unix.MS_BIND, ""))
			}
			return unix.MoveMount(unix.AT_FDCWD, readonly(), unix.AT_FDCWD, freshDir("moved"), 0)
		},
	})
}
