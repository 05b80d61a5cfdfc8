// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Connects to an abstract UNIX socket of the host.

package main

func init() {
	attack(Attack{
		NetworkABI: 6,
		Run:        func() error { return fetch("unix", at("ABSTRACT")) },
	})
}
