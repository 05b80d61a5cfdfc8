// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Replaces the kernel to boot next by a file: by none.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Root: true,
		Run:  func() error { return unix.KexecFileLoad(-1, -1, "", unix.KEXEC_FILE_UNLOAD) },
	})
}
