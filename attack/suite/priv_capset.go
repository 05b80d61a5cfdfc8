// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Takes capabilities back.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Root: true,
		Run: func() error {
			header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
			data := [2]unix.CapUserData{}
			data[0].Effective, data[0].Permitted, data[0].Inheritable = 1<<unix.CAP_SYS_ADMIN, 1<<unix.CAP_SYS_ADMIN, 1<<unix.CAP_SYS_ADMIN
			return unix.Capset(&header, &data[0])
		},
	})
}
