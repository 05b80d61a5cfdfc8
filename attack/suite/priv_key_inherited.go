// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Reads a key in the session keyring that the plugin had when it started the task.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Run: func() error {
			const sessionKeyring = -3
			id, err := unix.KeyctlSearch(sessionKeyring, "user", at("KEY_INHERITED"), 0)
			if err != nil {
				return err
			}
			buf := make([]byte, 64)
			_, err = unix.KeyctlBuffer(unix.KEYCTL_READ, id, buf, 0)
			return leaked(buf, err)
		},
	})
}
