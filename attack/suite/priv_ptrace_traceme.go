// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Has its parent trace it, and so bypass what the parent may not do.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Run: func() error { return do(unix.SYS_PTRACE, unix.PTRACE_TRACEME, 0, 0, 0) },
	})
}
