// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Has the machine swap to a file of the workspace. It is none: the kernel finds that out as the last thing.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Root: true,
		Run: func() error {
			return reached(do(unix.SYS_SWAPON, ptr(workspaceFile()), 0), unix.EINVAL)
		},
	})
}
