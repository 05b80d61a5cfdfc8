// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Changes a System V semaphore of a host process.

package main

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

func init() {
	attack(Attack{
		Run: func() error {
			id, err := call(unix.SYS_SEMGET, uintptr(atInt("SEM_KEY")), 0, 0)
			if err != nil {
				return err
			}
			up := [3]int16{0, 1, 0} // struct sembuf
			return do(unix.SYS_SEMOP, id, uintptr(unsafe.Pointer(&up)), 1)
		},
	})
}
