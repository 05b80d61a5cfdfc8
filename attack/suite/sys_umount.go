// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Uncovers what a mount hides: /proc of the host, under the task's.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Root: true,
		Run: func() error {
			if at("CONTROL") == "1" {
				must(unix.Mount("tmpfs", "/proc", "tmpfs", 0, ""))
			}
			return unix.Unmount("/proc", unix.MNT_DETACH)
		},
	})
}
