// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Queues a signal with data for a process of the same user on the host.

package main

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

func init() {
	attack(Attack{
		Run: func() error {
			info := [128]byte{0: byte(unix.SIGURG), 8: 0xff, 9: 0xff, 10: 0xff, 11: 0xff} // si_code SI_QUEUE
			return do(unix.SYS_RT_SIGQUEUEINFO, uintptr(atInt("HOST_PID")), uintptr(unix.SIGURG), uintptr(unsafe.Pointer(&info[0])))
		},
	})
}
