// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Changes a resource limit of a host process of the same user.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Run: func() error {
			var old unix.Rlimit
			if err := unix.Prlimit(atInt("HOST_PID"), unix.RLIMIT_CORE, nil, &old); err != nil {
				return err
			}
			return unix.Prlimit(atInt("HOST_PID"), unix.RLIMIT_CORE, &unix.Rlimit{Max: old.Max}, nil)
		},
		Sibling: func() error {
			var old unix.Rlimit
			return unix.Prlimit(0, unix.RLIMIT_CORE, nil, &old)
		},
	})
}
