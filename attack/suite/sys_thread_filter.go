// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Starts a thread, in the hope that filters are of the first one only.

package main

import (
	"runtime"

	"golang.org/x/sys/unix"
)

func init() {
	attack(Attack{
		Run: func() error {
			result := make(chan error)
			go func() {
				runtime.LockOSThread()
				result <- unix.PtraceSeize(atInt("HOST_PID"))
			}()
			return <-result
		},
	})
}
