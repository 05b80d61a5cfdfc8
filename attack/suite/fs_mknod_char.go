// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Makes the node of a device of the kernel, /dev/kmsg, in the workspace, and opens it.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Root: true,
		Run:  func() error { return makeDevice(unix.S_IFCHR, 1, 11) },
	})
}

func makeDevice(kind, major, minor uint32) error {
	path := freshName("device")
	if err := unix.Mknod(path, kind|0o666, int(unix.Mkdev(major, minor))); err != nil {
		return err
	}
	return open(path, unix.O_RDONLY)
}
