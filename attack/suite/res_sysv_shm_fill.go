// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Fills System V shared memory, which outlives processes, with more than the task has.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Alone: true,
		Run: func() error {
			for range 3*atInt("MEMORY_MB")/8 + 1 {
				id, err := unix.SysvShmGet(unix.IPC_PRIVATE, 8<<20, unix.IPC_CREAT|0o600)
				if err != nil {
					return err
				}
				data, err := unix.SysvShmAttach(id, 0, 0)
				if err != nil {
					return err
				}
				for i := 0; i < len(data); i += 4096 {
					data[i] = 1
				}
			}
			return nil
		},
	})
}
