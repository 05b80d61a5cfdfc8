// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Starts threads without end.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Alone: true,
		Run: func() error {
			// By clone itself: Go's runtime would end at the first refusal.
			for range 3 * atInt("PIDS_LIMIT") {
				if err := helperlessFork(); err != nil {
					return err
				}
			}
			return nil
		},
	})
}

// helperlessFork leaves a process behind that waits, by fork alone.
func helperlessFork() error {
	pid, _, errno := unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	if errno != 0 {
		return errno
	}
	if pid == 0 {
		for {
			_, _, _ = unix.RawSyscall(unix.SYS_PPOLL, 0, 0, 0)
		}
	}
	return nil
}
