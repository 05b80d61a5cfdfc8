// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Finds processes of others, with a secret on their command line, in /proc.

package main

import "path/filepath"

func init() {
	attack(Attack{
		Run: func() error {
			files, err := filepath.Glob("/proc/[0-9]*/cmdline")
			must(err)
			for _, file := range files {
				if readSecret(file) == nil {
					return nil
				}
			}
			return errNothing
		},
	})
}
