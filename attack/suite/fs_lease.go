// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Takes a lease on a file, for which everybody who opens it to write waits.

package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// locked asks for a lock or lease on the workspace's file.
func locked(command, kind int) func() error {
	return func() error {
		f, err := os.Open(workspaceFile())
		if err != nil {
			return err
		}
		defer f.Close()
		if command == unix.F_SETLEASE {
			_, err = unix.FcntlInt(f.Fd(), command, kind)
			return err
		}
		return unix.FcntlFlock(f.Fd(), command, &unix.Flock_t{Type: int16(kind)})
	}
}

func init() {
	attack(Attack{
		Run:     locked(unix.F_SETLEASE, unix.F_RDLCK),
		Sibling: locked(unix.F_SETLK, unix.F_RDLCK),
	})
}
