// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Changes how fast the machine's clock runs by clock_adjtime: to what it is.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Root: true,
		Run: func() error {
			var timex unix.Timex
			_, err := unix.ClockAdjtime(unix.CLOCK_REALTIME, &timex)
			if err != nil {
				return err
			}
			timex.Modes = unix.ADJ_FREQUENCY
			_, err = unix.ClockAdjtime(unix.CLOCK_REALTIME, &timex)
			return err
		},
	})
}
