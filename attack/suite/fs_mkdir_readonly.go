// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Makes a directory in a read-only root.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Run:     func() error { return unix.Mkdir(readonly()+"/made", 0o777) },
		Sibling: func() error { return unix.Mkdir(freshName("made"), 0o777) },
	})
}
