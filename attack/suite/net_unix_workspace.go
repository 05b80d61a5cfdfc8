// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Connects to a UNIX socket that a host process offers in the workspace: what the policy names, it admits.

package main

func init() {
	attack(Attack{
		Network: true,
		Run:     func() error { return fetch("unix", at("UNIX_WORKSPACE")) },
	})
}
