// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Reads a file that a host process of the same user holds open.

package main

func init() {
	attack(Attack{
		Run: func() error { return readSecret(hostPath("fd", at("HOST_FD"))) },
	})
}
