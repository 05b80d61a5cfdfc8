// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Opens the FIFO of its own standard output for reading, which would take the log away from Nomad.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Root:       true,
		DesignRoot: "user 0 owns the FIFO of its log: what it reads there, it wrote itself",
		Run:        func() error { return open(at("FIFO"), unix.O_RDWR) },
	})
}
