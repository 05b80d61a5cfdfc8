// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Writes the memory of a host process of the same user through /proc/PID/mem.

package main

import "os"

func init() {
	attack(Attack{
		Run: func() error {
			f, err := os.OpenFile(hostPath("mem"), os.O_RDWR, 0)
			if err != nil {
				return err
			}
			_, err = f.WriteAt([]byte(token), int64(atInt("HOST_ADDR")))
			return err
		},
	})
}
