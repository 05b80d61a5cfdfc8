// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Connects to a UNIX socket of the host outside of every root.

package main

func init() {
	attack(Attack{
		Run: func() error { return fetch("unix", at("UNIX_PATH")) },
	})
}
