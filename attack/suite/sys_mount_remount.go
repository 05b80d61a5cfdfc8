// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Makes a read-only root writable by mounting it again.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Root: true,
		Run: func() error {
			if at("CONTROL") == "1" {
				must(unix.Mount(readonly(), readonly(), "", unix.MS_BIND, ""))
			}
			return unix.Mount("", readonly(), "", unix.MS_BIND|unix.MS_REMOUNT, "")
		},
	})
}
