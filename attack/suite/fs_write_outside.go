// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Writes a file outside of every root.

package main

func init() {
	attack(Attack{
		Run:     on(overwrite, func() string { return outside() + "/write" }),
		Sibling: on(overwrite, workspaceFile),
	})
}
