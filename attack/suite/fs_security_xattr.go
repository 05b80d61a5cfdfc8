// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Gives a copy of this program in the workspace file capabilities.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Root: true,
		Run:  func() error { return unix.Setxattr(workspaceFile(), "security.capability", fileCapability, 0) },
	})
}

// fileCapability is CAP_DAC_READ_SEARCH, permitted and effective: vfs_cap_data
// of revision 2, capability.h.
var fileCapability = []byte{1, 0, 0, 2, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
