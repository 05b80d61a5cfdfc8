// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Writes into the log of another task through the FIFO of its standard output.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Root: true,
		Run:  func() error { return open(at("VICTIM_FIFO"), unix.O_WRONLY) },
	})
}
