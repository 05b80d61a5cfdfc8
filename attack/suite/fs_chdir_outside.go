// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Changes its working directory to one outside of every root.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Run:     on(unix.Chdir, outside),
		Sibling: on(unix.Chdir, workspace),
	})
}
