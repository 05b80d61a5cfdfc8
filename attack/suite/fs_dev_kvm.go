// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Opens the interface to make virtual machines, which the policy does not list.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Root: true,
		Run:  func() error { return open("/dev/kvm", unix.O_RDWR) },
	})
}
