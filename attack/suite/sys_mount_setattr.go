// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Makes a read-only root writable by mount_setattr.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Root: true,
		Run: func() error {
			if at("CONTROL") == "1" {
				must(unix.Mount(readonly(), readonly(), "", unix.MS_BIND, ""))
			}
			return unix.MountSetattr(unix.AT_FDCWD, readonly(), 0, &unix.MountAttr{Attr_clr: unix.MOUNT_ATTR_RDONLY})
		},
	})
}
