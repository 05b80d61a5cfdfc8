// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Gets the handle of a file of its own, from which others can be guessed.

package main

func init() {
	attack(Attack{
		DesignWorktree: "a handle opens nothing: open_by_handle_at is denied",
		Run:            on(handleOf, workspaceFile),
	})
}
