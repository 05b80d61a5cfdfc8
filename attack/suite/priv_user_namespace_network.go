// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Configures network devices in user and network namespaces of its own: attack surface of the kernel.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		DesignWorktree: "a network namespace of its own leads nowhere, and below level network there are no sockets",
		Run:            func() error { return namespaced("link-up", "", unix.CLONE_NEWUSER|unix.CLONE_NEWNET) },
	})
}

func init() {
	helpers["link-up"] = func([]string) error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
		if err != nil {
			return err
		}
		request, err := unix.NewIfreq("lo")
		must(err)
		request.SetUint16(unix.IFF_UP)
		return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request)
	}
}
