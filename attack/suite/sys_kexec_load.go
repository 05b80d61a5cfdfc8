// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Replaces the kernel to boot next: by none.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Root: true,
		Run:  func() error { return do(unix.SYS_KEXEC_LOAD, 0, 0, 0, 0) },
	})
}
