// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Moves a file of the workspace to a directory outside of every root.

package main

import "os"

func init() {
	attack(Attack{
		Run:     func() error { return os.Rename(fresh("a"), outside()+"/moved-out") },
		Sibling: func() error { return os.Rename(fresh("a"), freshName("b")) },
	})
}
