// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Runs a program with file capabilities, which lies in a read-only root.

package main

func init() {
	attack(Attack{
		Run:     func() error { return gains(at("FILECAPS"), "dac_read_search") },
		Sibling: func() error { return gains(at("FILECAPS"), "euid=") },
	})
}
