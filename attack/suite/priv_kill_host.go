// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Sends a signal to a process of the same user on the host.

package main

import (
	"os"

	"golang.org/x/sys/unix"
)

func init() {
	attack(Attack{
		Run:     func() error { return unix.Kill(atInt("HOST_PID"), unix.SIGURG) },
		Sibling: func() error { return unix.Kill(os.Getpid(), unix.SIGURG) },
	})
}
