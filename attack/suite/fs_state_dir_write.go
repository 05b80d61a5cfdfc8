// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Puts a file into the driver's records of running tasks.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Root: true,
		Run:  func() error { return open(at("STATE_DIR")+"/attack", unix.O_CREAT|unix.O_WRONLY) },
	})
}
