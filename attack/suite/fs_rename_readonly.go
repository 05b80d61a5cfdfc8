// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Moves a file out of a read-only root.

package main

import "os"

func init() {
	attack(Attack{
		Run:     func() error { return os.Rename(readonly()+"/rename", freshName("renamed")) },
		Sibling: func() error { return os.Rename(fresh("a"), freshName("b")) },
	})
}
