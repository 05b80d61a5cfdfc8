// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Changes the times of a file of its own user in a directory of the system.

package main

func init() {
	attack(Attack{
		Run:     on(touch, systemFile),
		Sibling: on(touch, workspaceFile),
	})
}
