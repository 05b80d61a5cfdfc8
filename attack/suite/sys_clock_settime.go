// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Sets the machine's clock: to what it says.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Root: true,
		Run: func() error {
			var now unix.Timespec
			must(unix.ClockGettime(unix.CLOCK_REALTIME, &now))
			return unix.ClockSettime(unix.CLOCK_REALTIME, &now)
		},
	})
}
