// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Reads a file of another task of the same user at the place where that task sees it.

package main

func init() {
	attack(Attack{
		Run:     func() error { return readSecret(at("VICTIM_LOCAL") + "/secret") },
		Sibling: on(readSecret, workspaceFile),
	})
}
