// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Links a file outside of every root into the workspace, to read it there.

package main

import "os"

func init() {
	attack(Attack{
		Run: func() error {
			link := freshName("hardlink")
			if err := os.Link(secret(), link); err != nil {
				return err
			}
			return readSecret(link)
		},
		Sibling: func() error { return os.Link(fresh("a"), freshName("b")) },
	})
}
