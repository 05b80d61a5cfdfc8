// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Pages the memory of a host process of the same user out.

package main

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

func init() {
	attack(Attack{
		Root: true,
		Run: func() error {
			fd, err := unix.PidfdOpen(atInt("HOST_PID"), 0)
			if err != nil {
				return err
			}
			remote := []unix.RemoteIovec{{Base: uintptr(atInt("HOST_ADDR")) &^ 4095, Len: 4096}}
			const madvCold = 20
			return do(unix.SYS_PROCESS_MADVISE, uintptr(fd), uintptr(unsafe.Pointer(&remote[0])), 1, madvCold, 0)
		},
	})
}
