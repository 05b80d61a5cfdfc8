// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Mounts the cgroups, to change its own limits.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Root: true,
		Run: func() error {
			dir := freshDir("cgroup")
			err := unix.Mount("cgroup", dir, "cgroup", 0, "memory")
			if err != nil {
				err = unix.Mount("cgroup2", dir, "cgroup2", 0, "")
			}
			return err
		},
	})
}
