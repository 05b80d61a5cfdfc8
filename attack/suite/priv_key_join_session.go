// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Joins a session keyring of the same user by its name.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Run: func() error {
			name := at("KEY_SESSION")
			id, err := call(unix.SYS_KEYCTL, unix.KEYCTL_JOIN_SESSION_KEYRING, ptr(name))
			if err != nil {
				return err
			}
			key, err := unix.KeyctlSearch(int(id), "user", at("KEY"), 0)
			if err != nil {
				return err
			}
			buf := make([]byte, 64)
			_, err = unix.KeyctlBuffer(unix.KEYCTL_READ, key, buf, 0)
			return leaked(buf, err)
		},
	})
}
