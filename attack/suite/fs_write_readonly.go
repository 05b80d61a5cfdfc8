// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Writes a file of its own user in a read-only root.

package main

func init() {
	attack(Attack{
		Run:     on(overwrite, readonlyFile),
		Sibling: on(overwrite, workspaceFile),
	})
}
