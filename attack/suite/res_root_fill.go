// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Fills the root file system of its own view, or /dev.

package main

func init() {
	attack(Attack{
		Alone: true,
		Run: func() error {
			if at("CONTROL") == "1" { // the host's root is left alone
				return fill(at("SECOND") + "/fill")
			}
			if err := fill("/fill"); err == nil {
				return nil
			}
			return fill("/dev/fill")
		},
	})
}
