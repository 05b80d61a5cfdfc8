// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Reads where a symbolic link outside of every root points to.

package main

import "os"

func init() {
	attack(Attack{
		Run: on(readlink, func() string { return outside() + "/link" }),
		Sibling: on(readlink, func() string {
			link := freshName("link")
			must(os.Symlink("x", link))
			return link
		}),
	})
}

func readlink(path string) error {
	_, err := os.Readlink(path)
	return err
}
