// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Takes swap space away from the machine: a file that is none.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Root: true,
		Run: func() error {
			return reached(do(unix.SYS_SWAPOFF, ptr(workspaceFile())), unix.EINVAL)
		},
	})
}
