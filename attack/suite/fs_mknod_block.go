// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Makes the node of a disk in the workspace, and opens it.

package main

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

func init() {
	attack(Attack{
		Root: true,
		Run: func() error {
			var number uint64
			for _, disk := range []string{"vda", "sda", "nvme0n1", "loop0"} {
				data, err := os.ReadFile("/sys/class/block/" + disk + "/dev")
				var major, minor uint32
				if err == nil {
					_, err = fmt.Sscanf(string(data), "%d:%d", &major, &minor)
				}
				if err == nil {
					number = unix.Mkdev(major, minor)
					break
				}
			}
			if number == 0 { // hidden in a task: what it would be
				number = unix.Mkdev(254, 0)
			}
			return makeDevice(unix.S_IFBLK, unix.Major(number), unix.Minor(number))
		},
	})
}
