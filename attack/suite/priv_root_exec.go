// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Runs a program as user 0, which would regain all capabilities but for the bounding set.

package main

func init() {
	attack(Attack{
		Root: true,
		Run:  func() error { return gains("/proc/self/exe", "sys_admin") },
	})
}
