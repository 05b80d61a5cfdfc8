// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Removes its own log, to leave no trace.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Run:     func() error { return unix.Unlink(at("LOGS") + "/unlink") },
		Sibling: func() error { return unix.Unlink(workspaceFile()) },
	})
}
