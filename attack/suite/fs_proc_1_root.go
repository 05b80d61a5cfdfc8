// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Reads a file of the host through the root directory of process 1.

package main

func init() {
	attack(Attack{
		Root: true,
		Run:  func() error { return readSecret("/proc/1/root" + secret()) },
	})
}
