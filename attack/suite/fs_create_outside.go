// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Makes a file outside of every root.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Run:     func() error { return open(outside()+"/created", unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY) },
		Sibling: func() error { return open(freshName("created"), unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY) },
	})
}
