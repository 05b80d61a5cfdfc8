// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Reads a file of the host's /tmp.

package main

import "os"

func init() {
	attack(Attack{
		Run: func() error { return readSecret("/tmp/" + at("TMP_FILE")) },
		Sibling: func() error {
			must(os.WriteFile("/tmp/attack", []byte(token), 0o600))
			defer os.Remove("/tmp/attack")
			return readSecret("/tmp/attack")
		},
	})
}
