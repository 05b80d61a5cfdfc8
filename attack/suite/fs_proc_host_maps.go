// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Reads the memory layout of a host process of the same user.

package main

import "os"

func init() {
	attack(Attack{
		Run: func() error {
			data, err := os.ReadFile(hostPath("maps"))
			if err == nil && len(data) == 0 {
				return errNothing
			}
			return err
		},
	})
}
