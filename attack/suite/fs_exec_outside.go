// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Runs a program outside of every root.

package main

import "os/exec"

func init() {
	attack(Attack{
		Run:     func() error { return exec.Command(outside()+"/program", "identity").Run() },
		Sibling: func() error { return exec.Command("/bin/true").Run() },
	})
}
