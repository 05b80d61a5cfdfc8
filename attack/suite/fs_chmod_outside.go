// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Changes the mode of a file of its own user outside of every root.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Run:     on(func(p string) error { return unix.Chmod(p, 0o666) }, secret),
		Sibling: on(func(p string) error { return unix.Chmod(p, 0o666) }, workspaceFile),
	})
}
