// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Makes another directory the root.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Root: true,
		Run: func() error {
			dir := at("WORKSPACE")
			if at("CONTROL") == "1" {
				must(unix.Mount(dir, dir, "", unix.MS_BIND, ""))
				must(unix.Chdir(dir))
			}
			return unix.PivotRoot(dir, dir)
		},
	})
}
