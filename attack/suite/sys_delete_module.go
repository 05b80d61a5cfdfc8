// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Unloads a module of the kernel.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Root: true,
		Run:  func() error { return reached(unix.DeleteModule("harn_attack_none", unix.O_NONBLOCK), unix.ENOENT) },
	})
}
