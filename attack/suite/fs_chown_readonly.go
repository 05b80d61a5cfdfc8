// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Changes the group of a file of its own user in a read-only root to its own.

package main

import (
	"os"

	"golang.org/x/sys/unix"
)

func init() {
	attack(Attack{
		Run:     func() error { return unix.Chown(readonlyFile(), -1, os.Getgid()) },
		Sibling: func() error { return unix.Chown(workspaceFile(), -1, os.Getgid()) },
	})
}
