// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Reads the password hashes of the system.

package main

import "os"

func init() {
	attack(Attack{
		Root: true,
		Run: func() error {
			data, err := os.ReadFile("/etc/shadow")
			if err == nil && len(data) == 0 {
				return errNothing
			}
			return err
		},
		Sibling: func() error {
			_, err := os.ReadFile("/etc/passwd")
			return err
		},
	})
}
