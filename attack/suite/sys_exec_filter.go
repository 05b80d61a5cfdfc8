// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Executes another program, in the hope that it starts without the filter and the domain.

package main

func init() {
	attack(Attack{
		Run:     func() error { return helper("read", secret()) },
		Sibling: func() error { return helper("read", workspaceFile()) },
	})
}
