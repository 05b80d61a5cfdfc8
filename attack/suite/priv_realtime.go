// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Makes itself a realtime process, which nothing else can interrupt.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Root:    true,
		Run:     func() error { return scheduler(0, unix.SCHED_FIFO, 1) },
		Sibling: func() error { return scheduler(0, unix.SCHED_BATCH, 0) },
	})
}
