// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Swaps a directory of the workspace for a link to the outside while a thread opens a file through it.

package main

import "os"

func init() {
	attack(Attack{
		Run: func() error {
			dir, link := freshName("swap"), freshName("swap-link")
			must(os.Mkdir(dir, 0o777))
			must(os.WriteFile(dir+"/secret", []byte("own"), 0o666))
			must(os.Symlink(outside(), link))
			return whileSwapping(dir, link, func() error { return readSecret(dir + "/secret") })
		},
	})
}
