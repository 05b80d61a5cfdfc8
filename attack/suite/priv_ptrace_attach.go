// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Attaches to a process of the same user on the host.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Run: func() error {
			pid := atInt("HOST_PID")
			if err := unix.PtraceAttach(pid); err != nil {
				return err
			}
			_, _ = unix.Wait4(pid, nil, unix.WALL, nil)
			return unix.PtraceDetach(pid)
		},
	})
}
