// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Connects to a UNIX socket of the host in a read-only root.

package main

func init() {
	attack(Attack{
		NetworkABI: 9,
		Run:        func() error { return fetch("unix", at("UNIX_READONLY")) },
	})
}
