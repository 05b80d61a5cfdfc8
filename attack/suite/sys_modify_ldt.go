// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

//go:build amd64

// Adds a segment to its local descriptor table: code of the kernel with a history of bugs.

package main

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

func init() {
	attack(Attack{
		DesignWorktree: "no access to anything of others, but attack surface of the kernel: os_hardened denies it",
		Run: func() error {
			descriptor := [4]uint32{0, 0, 0xfffff, 0x51} // struct user_desc: a 32 bit data segment
			return do(unix.SYS_MODIFY_LDT, 1, uintptr(unsafe.Pointer(&descriptor)), 16)
		},
	})
}
