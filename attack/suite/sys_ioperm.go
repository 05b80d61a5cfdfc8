// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

//go:build amd64

// Takes access to an I/O port of the machine.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Root: true,
		Run:  func() error { return unix.Ioperm(0x80, 1, 1) },
	})
}
