// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Enters the network namespace of a host process by a pidfd.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Root: true,
		Run: func() error {
			fd, err := unix.PidfdOpen(atInt("HOST_PID"), 0)
			if err != nil {
				return err
			}
			return unix.Setns(fd, unix.CLONE_NEWNET)
		},
	})
}
