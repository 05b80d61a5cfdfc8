// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Reads the memory of the kernel through /proc/kcore.

package main

import "os"

func init() {
	attack(Attack{
		Root: true,
		Run: func() error {
			f, err := os.Open("/proc/kcore")
			if err != nil {
				return err
			}
			_, err = f.Read(make([]byte, 64))
			return err
		},
	})
}
