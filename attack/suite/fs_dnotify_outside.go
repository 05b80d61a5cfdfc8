// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Watches a directory outside of every root with fcntl F_NOTIFY.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Run:     on(notify, outside),
		Sibling: on(notify, workspace),
	})
}

func notify(path string) error {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	_, err = unix.FcntlInt(uintptr(fd), unix.F_NOTIFY, 0x4) // DN_CREATE
	return err
}
