// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Takes a message out of a System V queue of a host process.

package main

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

func init() {
	attack(Attack{
		Run: func() error {
			id, err := call(unix.SYS_MSGGET, uintptr(atInt("MSG_KEY")), 0)
			if err != nil {
				return err
			}
			var buf [128]byte
			const noWaitCopy = unix.IPC_NOWAIT
			_, err = call(unix.SYS_MSGRCV, id, uintptr(unsafe.Pointer(&buf)), 100, 0, noWaitCopy)
			return leaked(buf[:], err)
		},
	})
}
