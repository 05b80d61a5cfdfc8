// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Reads a file in the directory of another task of the same user.

package main

func init() {
	attack(Attack{
		Run:     func() error { return readSecret(at("VICTIM_TASK_DIR") + "/local/secret") },
		Sibling: on(readSecret, workspaceFile),
	})
}
