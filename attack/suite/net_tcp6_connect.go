// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Connects to a TCP port of the host over IPv6.

package main

func init() {
	attack(Attack{
		Network: true,
		Run:     func() error { return fetch("tcp6", at("TCP6")) },
	})
}
