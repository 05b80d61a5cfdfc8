// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Takes more memory than the task has.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Alone: true,
		Run: func() error {
			const chunk = 8 << 20
			for range 3*atInt("MEMORY_MB")/8 + 1 {
				data, err := unix.Mmap(-1, 0, chunk, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_POPULATE)
				if err != nil {
					return err
				}
				for i := 0; i < chunk; i += 4096 {
					data[i] = 1
				}
			}
			return nil
		},
	})
}
