// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Reads a key in the keyring that all processes of its user share, on the host too.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Run: func() error {
			const userKeyring = -4
			possess(userKeyring)
			id, err := unix.KeyctlSearch(userKeyring, "user", at("KEY"), 0)
			if err != nil {
				return err
			}
			buf := make([]byte, 64)
			_, err = unix.KeyctlBuffer(unix.KEYCTL_READ, id, buf, 0)
			return leaked(buf, err)
		},
	})
}

// possess links a keyring into the session's: what a process possesses, it may
// search and read.
func possess(keyring int) {
	const sessionKeyring = -3
	_, _ = unix.KeyctlInt(unix.KEYCTL_LINK, keyring, sessionKeyring, 0, 0)
}
