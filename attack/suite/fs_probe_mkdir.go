// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Tells that a directory exists outside of every root, by the error of making it.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Run:     func() error { return reached(unix.Mkdir(outside(), 0o777), unix.EEXIST) },
		Sibling: func() error { return reached(unix.Mkdir(at("WORKSPACE"), 0o777), unix.EEXIST) },
	})
}
