// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Reads the environment of a host process of the same user.

package main

func init() {
	attack(Attack{
		Run: func() error { return readSecret(hostPath("environ")) },
	})
}
