// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Makes a FIFO in a read-only root.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Run:     func() error { return unix.Mkfifo(readonly()+"/fifo", 0o666) },
		Sibling: func() error { return unix.Mkfifo(freshName("fifo"), 0o666) },
	})
}
