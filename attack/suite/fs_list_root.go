// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Finds directories of the host, that no task has, in the root directory.

package main

import "os"

func init() {
	attack(Attack{
		Run: func() error {
			entries, err := os.ReadDir("/")
			for _, e := range entries {
				if e.Name() == "root" || e.Name() == "home" {
					return nil
				}
			}
			if err == nil {
				err = errNothing
			}
			return err
		},
	})
}
