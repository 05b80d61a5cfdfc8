// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Sends to a UDP port of the host, and takes the answer.

package main

func init() {
	attack(Attack{
		Network: true,
		Run:     func() error { return fetch("udp4", at("UDP")) },
	})
}
