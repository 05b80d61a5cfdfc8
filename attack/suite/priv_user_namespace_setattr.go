// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Makes a read-only root writable by mount_setattr in user and mount namespaces of its own.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Run: func() error { return namespaced("setattr", readonly(), unix.CLONE_NEWUSER|unix.CLONE_NEWNS) },
	})
}

func init() {
	helpers["setattr"] = func(args []string) error {
		tree, err := unix.OpenTree(unix.AT_FDCWD, args[0], unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
		if err != nil {
			return err
		}
		attr := unix.MountAttr{Attr_clr: unix.MOUNT_ATTR_RDONLY}
		if err := unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH, &attr); err != nil {
			return err
		}
		fd, err := unix.Openat(tree, "file", unix.O_WRONLY, 0)
		if err != nil {
			return err
		}
		return unix.Close(fd)
	}
}
