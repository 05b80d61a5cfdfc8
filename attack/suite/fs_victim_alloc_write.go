// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Puts a file into the allocation of another task.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Run:     func() error { return open(at("VICTIM_TASK_DIR")+"/local/planted", unix.O_CREAT|unix.O_WRONLY) },
		Sibling: func() error { return open(freshName("planted"), unix.O_CREAT|unix.O_WRONLY) },
	})
}
