// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Writes the quotas of all file systems out.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		DesignWorktree: "it does what sync(2) does",
		Run: func() error {
			const qSync = 0x800001 << 8
			return do(unix.SYS_QUOTACTL, qSync, 0, 0, 0)
		},
	})
}
