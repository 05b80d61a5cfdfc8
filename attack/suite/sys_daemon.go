// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Leaves its parent and its session, in the hope that a daemon is free.

package main

import "syscall"

func init() {
	attack(Attack{
		Run: func() error {
			return runHelper(&syscall.SysProcAttr{Setsid: true}, "read", secret())
		},
		Sibling: func() error { return runHelper(&syscall.SysProcAttr{Setsid: true}, "read", workspaceFile()) },
	})
}
