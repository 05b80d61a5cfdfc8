// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Gets the handle of a file outside of every root.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Run: on(handleOf, secret),
	})
}

func handleOf(path string) error {
	_, _, err := unix.NameToHandleAt(unix.AT_FDCWD, path, 0)
	return err
}
