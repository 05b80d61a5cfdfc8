// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Makes a program in a directory of the system that its mode lets everyone write.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Run:     func() error { return open(at("SYSTEM")+"/created", unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY) },
		Sibling: func() error { return open(freshName("created"), unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY) },
	})
}
