// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Mounts a file system by the new mount calls in user and mount namespaces of its own.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Run: func() error { return namespaced("fsmount", at("WORKSPACE"), unix.CLONE_NEWUSER|unix.CLONE_NEWNS) },
	})
}

func init() {
	helpers["fsmount"] = func(args []string) error {
		mnt, err := detachedTmpfs()
		if err != nil {
			return err
		}
		return unix.MoveMount(mnt, "", unix.AT_FDCWD, args[0], unix.MOVE_MOUNT_F_EMPTY_PATH)
	}
}

func detachedTmpfs() (int, error) {
	fs, err := unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return 0, err
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return 0, err
	}
	return unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, 0)
}
