// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Leaves a key in the keyring of its session, for whoever shares it.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Run: func() error {
			const sessionKeyring = -3
			_, err := unix.AddKey("user", "attack", []byte("payload"), sessionKeyring)
			return err
		},
	})
}
