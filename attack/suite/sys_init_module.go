// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Loads a module into the kernel from memory. Its image is not one: the kernel finds that out as the last thing.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Root: true,
		Run:  func() error { return reached(unix.InitModule(make([]byte, 4096), ""), unix.ENOEXEC) },
	})
}
