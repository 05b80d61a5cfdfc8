// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Makes all that it maps executable, and its addresses predictable.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		DesignWorktree: "it changes the task itself only: setarch(1) and debuggers need it",
		Run: func() error {
			const readImpliesExec, addrNoRandomize = 0x400000, 0x40000
			return do(unix.SYS_PERSONALITY, readImpliesExec|addrNoRandomize)
		},
	})
}
