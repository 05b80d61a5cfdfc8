// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Mounts a directory of the system, writable, into the workspace.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Root: true,
		Run:  func() error { return unix.Mount("/usr", freshDir("bind"), "", unix.MS_BIND, "") },
	})
}
