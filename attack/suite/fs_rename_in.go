// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Moves a file from outside of every root into the workspace.

package main

import "os"

func init() {
	attack(Attack{
		Run:     func() error { return os.Rename(outside()+"/rename-in", freshName("renamed")) },
		Sibling: func() error { return os.Rename(fresh("a"), freshName("b")) },
	})
}
