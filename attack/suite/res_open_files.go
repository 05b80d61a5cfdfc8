// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Opens files without end.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Alone: true,
		Run: func() error {
			for range 3 * atInt("FILES_LIMIT") {
				if _, err := unix.Open("/dev/null", unix.O_RDONLY, 0); err != nil {
					_ = unix.CloseRange(3, 64, 0) // room for the result
					return err
				}
			}
			return nil
		},
	})
}
