// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Lists a directory outside of every root.

package main

import "os"

func init() {
	attack(Attack{
		Run:     on(listDir, outside),
		Sibling: on(listDir, workspace),
	})
}

func listDir(path string) error {
	entries, err := os.ReadDir(path)
	if err == nil && len(entries) == 0 {
		return errNothing
	}
	return err
}
