// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Changes the times of a file of its own user outside of every root.

package main

func init() {
	attack(Attack{
		Run:     on(touch, secret),
		Sibling: on(touch, workspaceFile),
	})
}
