// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Attaches System V shared memory of a host process that is open to all.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Run: func() error { return attachShm(atInt("SHM_ID")) },
		Sibling: func() error {
			id, err := unix.SysvShmGet(unix.IPC_PRIVATE, 4096, unix.IPC_CREAT|0o600)
			must(err)
			segment, err := unix.SysvShmAttach(id, 0, 0)
			must(err)
			copy(segment, token)
			err = attachShm(id)
			_, _ = unix.SysvShmCtl(id, unix.IPC_RMID, nil)
			return err
		},
	})
}

func attachShm(id int) error {
	segment, err := unix.SysvShmAttach(id, 0, unix.SHM_RDONLY)
	if err != nil {
		return err
	}
	return leaked(segment[:64], nil)
}
