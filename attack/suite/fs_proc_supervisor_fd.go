// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Opens a descriptor that process 1 holds: of a supervisor, the records of the task.

package main

import (
	"os"

	"golang.org/x/sys/unix"
)

func init() {
	attack(Attack{
		Root: true,
		Run: func() error {
			fds, err := os.ReadDir("/proc/1/fd")
			if err != nil {
				return err
			}
			for _, fd := range fds {
				if err = open("/proc/1/fd/"+fd.Name(), unix.O_RDONLY); err == nil {
					return nil
				}
			}
			return err
		},
	})
}
