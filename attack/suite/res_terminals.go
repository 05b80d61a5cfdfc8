// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Takes pseudoterminals, whose number is one for the whole machine.
package main

import (
	"golang.org/x/sys/unix"
)

func init() {
	attack(Attack{
		Run: func() error {
			// Of the 4096 that a machine has, this many would leave another seven tasks none.
			const many = 512
			must(unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: many + 64, Max: many + 64}))
			for range many {
				if _, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0); err != nil {
					return err
				}
			}
			return nil
		},
		Sibling: func() error { return open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY) },
	})
}
