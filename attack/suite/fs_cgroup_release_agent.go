// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Opens the program that cgroups v1 run as root on the host for writing.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Root: true,
		Run: func() error {
			err := errNothing
			for _, controller := range []string{"pids", "memory", "freezer"} {
				if err = open("/sys/fs/cgroup/"+controller+"/release_agent", unix.O_WRONLY); err == nil {
					return nil
				}
			}
			return err
		},
	})
}
