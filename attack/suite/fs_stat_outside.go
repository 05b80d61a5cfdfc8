// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Finds out the size of a file outside of every root.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Run:     on(stat, secret),
		Sibling: on(stat, workspaceFile),
	})
}

func stat(path string) error {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return err
	}
	if st.Size == 0 {
		return errNothing
	}
	return nil
}
