// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Reads the environment of the supervisor, process 1 of the task.

package main

import "os"

func init() {
	attack(Attack{
		Root: true,
		Run: func() error {
			_, err := os.ReadFile("/proc/1/environ")
			return err
		},
	})
}
