// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Fills pipes that nobody reads, whose memory is the kernel's.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Alone: true,
		Run: func() error {
			chunk := make([]byte, 1<<20)
			for range 3 * atInt("MEMORY_MB") {
				var p [2]int
				if err := unix.Pipe2(p[:], unix.O_NONBLOCK); err != nil {
					return err
				}
				_, _ = unix.FcntlInt(uintptr(p[1]), unix.F_SETPIPE_SZ, 1<<20)
				for {
					if _, err := unix.Write(p[1], chunk); err != nil {
						break
					}
				}
			}
			return nil
		},
	})
}
