// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Makes a read-only root writable in user and mount namespaces of its own.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Run: func() error { return namespaced("remount", readonly(), unix.CLONE_NEWUSER|unix.CLONE_NEWNS) },
	})
}

func init() {
	helpers["remount"] = func(args []string) error {
		if err := unix.Mount("", args[0], "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_NOSUID|unix.MS_NODEV, ""); err == nil {
			return overwrite(args[0] + "/file")
		} else if at("CONTROL") != "1" {
			return err
		}
		// Unconfined it is no mount point: its mount namespace lets it make one.
		return unix.Mount(args[0], args[0], "", unix.MS_BIND, "")
	}
}
