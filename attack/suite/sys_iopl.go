// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

//go:build amd64

// Takes access to all I/O ports of the machine.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Root: true,
		Run:  func() error { return unix.Iopl(3) },
	})
}
