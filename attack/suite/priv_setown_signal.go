// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Has the kernel send a signal to a host process, as the owner of a pipe that becomes readable.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Run: func() error {
			var p [2]int
			must(unix.Pipe(p[:]))
			if _, err := unix.FcntlInt(uintptr(p[0]), unix.F_SETOWN, atInt("HOST_PID")); err != nil {
				return err
			}
			_, err := unix.FcntlInt(uintptr(p[0]), unix.F_SETFL, unix.O_ASYNC|unix.O_NONBLOCK)
			must(err)
			owner, err := unix.FcntlInt(uintptr(p[0]), unix.F_GETOWN, 0)
			if err == nil && owner != atInt("HOST_PID") {
				return errNothing
			}
			return err
		},
	})
}
