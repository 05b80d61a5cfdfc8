// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Sets the flag "no dump" of a file of its own user in a read-only root by ioctl.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Run:     on(chattr, readonlyFile),
		Sibling: on(chattr, workspaceFile),
	})
}

func chattr(path string) error {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	flags, err := unix.IoctlGetInt(fd, unix.FS_IOC_GETFLAGS)
	if err != nil {
		return err
	}
	const noDump = 0x40
	return unix.IoctlSetPointerInt(fd, unix.FS_IOC_SETFLAGS, flags|noDump)
}
