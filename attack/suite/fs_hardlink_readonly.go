// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Links a file of a read-only root into the workspace, where it could be written.

package main

import "os"

func init() {
	attack(Attack{
		Run:     func() error { return os.Link(readonlyFile(), freshName("hardlink")) },
		Sibling: func() error { return os.Link(fresh("a"), freshName("b")) },
	})
}
