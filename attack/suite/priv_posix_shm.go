// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Opens POSIX shared memory of a host process in /dev/shm.

package main

import "os"

func init() {
	attack(Attack{
		Run: func() error { return readSecret("/dev/shm/" + at("POSIX_SHM")) },
		Sibling: func() error {
			must(os.WriteFile("/dev/shm/attack", []byte(token), 0o600))
			return readSecret("/dev/shm/attack")
		},
	})
}
