// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Enters the mount namespace of process 1 through /proc.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Root: true,
		Run: func() error {
			fd, err := unix.Open("/proc/1/ns/mnt", unix.O_RDONLY|unix.O_CLOEXEC, 0)
			if err != nil {
				return err
			}
			must(unix.Unshare(unix.CLONE_FS))
			return unix.Setns(fd, unix.CLONE_NEWNS)
		},
	})
}
