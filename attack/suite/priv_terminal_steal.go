// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Opens terminals of the host.

package main

import (
	"path/filepath"

	"golang.org/x/sys/unix"
)

func init() {
	attack(Attack{
		Root: true,
		Run: func() error {
			terminals, _ := filepath.Glob("/dev/pts/[0-9]*")
			consoles, _ := filepath.Glob("/dev/tty[0-9]*")
			err := errNothing
			for _, terminal := range append(append(terminals, consoles...), "/dev/console") {
				if err = open(terminal, unix.O_RDWR); err == nil {
					return nil
				}
			}
			return err
		},
	})
}
