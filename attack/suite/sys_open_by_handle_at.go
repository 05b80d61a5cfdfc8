// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Opens a file by its handle: one of its own, but a guess would do.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Root: true,
		Run: func() error {
			dir, err := unix.Open(at("WORKSPACE"), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
			must(err)
			handle, _, err := unix.NameToHandleAt(unix.AT_FDCWD, workspaceFile(), 0)
			if err != nil {
				handle = unix.NewFileHandle(1, []byte{2, 0, 0, 0, 0, 0, 0, 0})
			}
			_, err = unix.OpenByHandleAt(dir, handle, unix.O_RDONLY)
			return err
		},
	})
}
