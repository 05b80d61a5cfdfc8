// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Lists the driver's records of running tasks.

package main

func init() {
	attack(Attack{
		Root: true,
		Run:  func() error { return listDir(at("STATE_DIR")) },
	})
}
