// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Uses up the inotify instances of its user, which other tasks of the same user share.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Design: "a limit of the kernel for each user: with dynamic workload users no two tasks share it",
		Run: func() error {
			for range 1 << 16 {
				if _, err := unix.InotifyInit1(0); err != nil {
					return reached(err, unix.EMFILE)
				}
			}
			return nil
		},
	})
}
