// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Sends a signal to another task of the same user.

package main

import (
	"os"

	"golang.org/x/sys/unix"
)

func init() {
	attack(Attack{
		Run:     func() error { return unix.Kill(atInt("VICTIM_PID"), unix.SIGURG) },
		Sibling: func() error { return unix.Kill(os.Getpid(), unix.SIGURG) },
	})
}
