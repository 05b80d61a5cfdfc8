// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Dumps core, which would start the host's handler of core dumps with its memory.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Run: func() error {
			var limit unix.Rlimit
			must(unix.Getrlimit(unix.RLIMIT_CORE, &limit))
			limit.Cur = limit.Max
			if limit.Max <= 1 { // a dump of 1 byte is none, and starts no handler: core(5)
				return errNothing
			}
			return unix.Setrlimit(unix.RLIMIT_CORE, &limit)
		},
	})
}
