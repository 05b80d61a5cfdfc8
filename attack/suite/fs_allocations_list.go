// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Lists the directory of all allocations of the client.

package main

func init() {
	attack(Attack{
		Run:  func() error { return listDir(at("ALLOCATIONS")) },
		Root: true,
	})
}
