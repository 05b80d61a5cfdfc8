// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Has its memory written to core dumps again, which the driver has ruled out.
package main

import (
	"os"
	"strings"
)

func init() {
	attack(Attack{
		Run: func() error {
			const file = "/proc/self/coredump_filter"
			if err := os.WriteFile(file, []byte("0x7f"), 0); err != nil {
				return err
			}
			text, err := os.ReadFile(file)
			if err == nil && strings.Trim(string(text), "0\n") == "" {
				return errNothing
			}
			return err
		},
		Sibling: func() error { _, err := os.ReadFile("/proc/self/coredump_filter"); return err },
	})
}
