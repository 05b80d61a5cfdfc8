// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Lists the kernel's debugging interface.

package main

func init() {
	attack(Attack{
		Root: true,
		Run: func() error {
			if err := listDir("/sys/kernel/debug"); err == nil {
				return nil
			}
			return listDir("/sys/kernel")
		},
	})
}
