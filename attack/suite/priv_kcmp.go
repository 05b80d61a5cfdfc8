// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Compares kernel objects of a host process with its own.

package main

import (
	"os"

	"golang.org/x/sys/unix"
)

func init() {
	attack(Attack{
		Run: func() error {
			const kcmpFiles = 2
			return do(unix.SYS_KCMP, uintptr(atInt("HOST_PID")), uintptr(os.Getpid()), kcmpFiles, 0, 0)
		},
	})
}
