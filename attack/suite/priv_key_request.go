// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Asks for a key by request_key, which can have the kernel start a program as root.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Run: func() error {
			const userKeyring = -4
			possess(userKeyring)
			_, err := unix.RequestKey("user", at("KEY"), "", userKeyring)
			return err
		},
	})
}
