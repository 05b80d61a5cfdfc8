// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Makes a host process of the same user run only when the machine is idle.

package main

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

func init() {
	attack(Attack{
		Run:     func() error { return scheduler(atInt("HOST_PID"), unix.SCHED_BATCH, 0) },
		Sibling: func() error { return scheduler(0, unix.SCHED_BATCH, 0) },
	})
}

func scheduler(pid, policy int, priority int32) error {
	return do(unix.SYS_SCHED_SETSCHEDULER, uintptr(pid), uintptr(policy), uintptr(unsafe.Pointer(&priority)))
}
