// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Finds out by access whether a file outside of every root exists.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Run:     on(func(p string) error { return unix.Access(p, unix.R_OK) }, secret),
		Sibling: on(func(p string) error { return unix.Access(p, unix.R_OK) }, workspaceFile),
	})
}
