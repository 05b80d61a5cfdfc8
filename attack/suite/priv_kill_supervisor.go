// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Kills process 1 of its PID namespace, its supervisor.

package main

import (
	"errors"

	"golang.org/x/sys/unix"
)

func init() {
	attack(Attack{
		Run: func() error {
			if at("CONTROL") == "1" { // there it would be the host's
				return unix.Kill(atInt("HOST_PID"), unix.SIGURG)
			}
			if err := unix.Kill(1, unix.SIGKILL); err != nil {
				return err
			}
			if err := unix.Kill(1, 0); errors.Is(err, unix.ESRCH) {
				return nil
			}
			return errors.New("ignored: process 1")
		},
	})
}
