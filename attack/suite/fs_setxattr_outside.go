// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Sets an extended attribute of a file of its own user outside of every root.

package main

func init() {
	attack(Attack{
		Run:     on(setxattr, secret),
		Sibling: on(setxattr, workspaceFile),
	})
}
