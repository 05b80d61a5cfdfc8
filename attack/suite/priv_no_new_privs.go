// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Runs without no_new_privs, under which setuid programs gain nothing.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Run: func() error {
			set, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)
			if err == nil && set == 1 {
				// It cannot be taken back.
				return unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0)
			}
			return err
		},
	})
}
