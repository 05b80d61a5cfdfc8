// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Finds out the session of a host process.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Run: func() error {
			_, err := unix.Getsid(atInt("HOST_PID"))
			return err
		},
		Sibling: func() error {
			_, err := unix.Getsid(0)
			return err
		},
	})
}
