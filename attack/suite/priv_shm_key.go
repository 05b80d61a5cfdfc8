// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Finds System V shared memory of a host process by its key.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Run: func() error {
			id, err := unix.SysvShmGet(atInt("SHM_KEY"), 0, 0)
			if err != nil {
				return err
			}
			return attachShm(id)
		},
	})
}
