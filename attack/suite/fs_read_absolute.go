// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Reads a file outside of every root by its path.

package main

func init() {
	attack(Attack{
		Run:     on(readSecret, secret),
		Sibling: on(readSecret, workspaceFile),
	})
}
