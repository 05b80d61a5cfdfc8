// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Opens /dev/userfaultfd, which gives what the system call does.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Root: true,
		Run:  func() error { return open("/dev/userfaultfd", unix.O_RDWR) },
	})
}
