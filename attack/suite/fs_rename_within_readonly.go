// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Renames a file within a read-only root.

package main

import "os"

func init() {
	attack(Attack{
		Run:     func() error { return os.Rename(readonly()+"/rename-within", readonly()+"/renamed") },
		Sibling: func() error { return os.Rename(fresh("a"), freshName("b")) },
	})
}
