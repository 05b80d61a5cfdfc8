// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Opens its own standard output for reading through /proc/self/fd.

package main

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

func init() {
	attack(Attack{
		DesignRoot: "user 0 owns the FIFO of its log: what it reads there, it wrote itself",
		Run: func() error {
			if at("CONTROL") == "1" { // no FIFO there: any pipe of its own can be opened again
				var p [2]int
				must(unix.Pipe(p[:]))
				return open("/proc/self/fd/"+strconv.Itoa(p[1]), unix.O_RDONLY)
			}
			return open("/proc/"+strconv.Itoa(os.Getppid())+"/fd/1", unix.O_RDONLY)
		},
		Sibling: func() error { return open("/proc/self/fd/1", unix.O_WRONLY) },
	})
}
