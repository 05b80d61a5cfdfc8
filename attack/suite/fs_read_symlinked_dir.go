// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Reads a file outside of every root through a link to its directory.

package main

import (
	"os"
	"path/filepath"
)

func init() {
	attack(Attack{
		Run:     on(readThroughDir, secret),
		Sibling: on(readThroughDir, workspaceFile),
	})
}

func readThroughDir(target string) error {
	link := freshName("dirlink")
	must(os.Symlink(filepath.Dir(target), link))
	return readSecret(link + "/" + filepath.Base(target))
}
