// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Lists the keys of the kernel that its user may see.

package main

import "os"

func init() {
	attack(Attack{
		Run: func() error {
			data, err := os.ReadFile("/proc/keys")
			if err == nil && len(data) == 0 {
				return errNothing
			}
			return err
		},
	})
}
