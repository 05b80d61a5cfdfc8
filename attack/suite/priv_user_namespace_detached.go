// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Makes a file system of its own by fsopen and fsmount in a user namespace, and writes into it without attaching it.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Run: func() error { return namespaced("fsmount-write", "", unix.CLONE_NEWUSER|unix.CLONE_NEWNS) },
	})
}

func init() {
	helpers["fsmount-write"] = func([]string) error {
		mnt, err := detachedTmpfs()
		if err != nil {
			return err
		}
		fd, err := unix.Openat(mnt, "file", unix.O_CREAT|unix.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		return unix.Close(fd)
	}
}
