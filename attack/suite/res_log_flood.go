// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Floods the log with 64 MB.

package main

import (
	"bytes"

	"golang.org/x/sys/unix"
)

func init() {
	attack(Attack{
		Alone: true,
		Run: func() error {
			line := bytes.Repeat([]byte("flood "), 10_000)
			for range 64 << 20 / len(line) {
				if _, err := unix.Write(1, line); err != nil {
					return err
				}
			}
			return nil
		},
	})
}
