// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Uncovers what a mount hides in user and mount namespaces of its own.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Run: func() error {
			return namespaced("umount", "/proc", unix.CLONE_NEWUSER|unix.CLONE_NEWNS)
		},
	})
}

func init() {
	helpers["umount"] = func(args []string) error {
		if at("CONTROL") == "1" { // mounts of before are locked together in any user namespace
			must(unix.Mount("tmpfs", args[0], "tmpfs", 0, ""))
		}
		return unix.Unmount(args[0], unix.MNT_DETACH)
	}
}
