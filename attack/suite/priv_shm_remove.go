// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Removes System V shared memory of a host process of the same user.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Run: func() error {
			_, err := unix.SysvShmCtl(atInt("SHM_ID_REMOVE"), unix.IPC_RMID, nil)
			return err
		},
	})
}
