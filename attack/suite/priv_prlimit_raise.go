// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Raises a hard limit of its own.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Root: true,
		Run: func() error {
			var old unix.Rlimit
			must(unix.Getrlimit(unix.RLIMIT_NOFILE, &old))
			return unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: old.Cur, Max: old.Max + 1})
		},
		Sibling: func() error {
			var old unix.Rlimit
			must(unix.Getrlimit(unix.RLIMIT_NOFILE, &old))
			return unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: old.Cur, Max: old.Max})
		},
	})
}
