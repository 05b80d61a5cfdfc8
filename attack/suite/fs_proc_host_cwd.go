// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Reads a file of the host through the working directory of a host process of the same user.

package main

import "path/filepath"

func init() {
	attack(Attack{
		Run: func() error { return readSecret(hostPath("cwd", filepath.Base(secret()))) },
	})
}
