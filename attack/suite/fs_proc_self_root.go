// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Reads a file outside of every root through /proc/self/root.

package main

func init() {
	attack(Attack{
		Run:     func() error { return readSecret("/proc/self/root" + secret()) },
		Sibling: func() error { return readSecret("/proc/self/root" + workspaceFile()) },
	})
}
