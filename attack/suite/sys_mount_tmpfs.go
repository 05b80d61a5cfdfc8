// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Mounts a file system by mount over a part of the workspace.

package main

import (
	"os"

	"golang.org/x/sys/unix"
)

func init() {
	attack(Attack{
		Root: true,
		Run:  func() error { return unix.Mount("tmpfs", freshDir("mount"), "tmpfs", 0, "") },
	})
}

func freshDir(name string) string {
	dir := freshName(name)
	must(os.Mkdir(dir, 0o777))
	return dir
}
