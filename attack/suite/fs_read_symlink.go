// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Reads a file outside of every root through a symbolic link in the workspace.

package main

import "os"

func init() {
	attack(Attack{
		Run:     on(readThroughLink, secret),
		Sibling: on(readThroughLink, workspaceFile),
	})
}

func readThroughLink(target string) error {
	link := freshName("link")
	must(os.Symlink(target, link))
	return readSecret(link)
}
