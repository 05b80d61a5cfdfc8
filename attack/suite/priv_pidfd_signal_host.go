// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Sends a signal through a pidfd to a process of the same user on the host.

package main

import (
	"os"

	"golang.org/x/sys/unix"
)

func init() {
	attack(Attack{
		Run:     func() error { return pidfdSignal(atInt("HOST_PID")) },
		Sibling: func() error { return pidfdSignal(os.Getpid()) },
	})
}

func pidfdSignal(pid int) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return err
	}
	return unix.PidfdSendSignal(fd, unix.SIGURG, nil, 0)
}
