// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Receives a descriptor of a directory of the host over a UNIX socket outside of every root.

package main

func init() {
	attack(Attack{
		Run: func() error { return receiveSecret(at("PASSING_PATH")) },
	})
}
