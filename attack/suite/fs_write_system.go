// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Writes a file of the system that its mode lets everyone write.

package main

func init() {
	attack(Attack{
		Run:     on(overwrite, systemFile),
		Sibling: on(overwrite, workspaceFile),
	})
}
