// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Takes a copy of a descriptor of a host process of the same user.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Run: func() error {
			pidfd, err := unix.PidfdOpen(atInt("HOST_PID"), 0)
			if err != nil {
				return err
			}
			fd, err := unix.PidfdGetfd(pidfd, atInt("HOST_FD"), 0)
			if err != nil {
				return err
			}
			buf := make([]byte, 64)
			_, err = unix.Pread(fd, buf, 0)
			return leaked(buf, err)
		},
	})
}
