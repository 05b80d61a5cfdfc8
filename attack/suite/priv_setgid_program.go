// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Runs a setgid program of the group shadow, which lies in a read-only root.

package main

func init() {
	attack(Attack{
		Run: func() error { return gains(at("SETGID"), "egid=42 ") },
	})
}
