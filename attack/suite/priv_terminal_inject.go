// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Pushes input into a terminal by TIOCSTI, as if a person had typed it.

package main

import (
	"os"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

func init() {
	attack(Attack{
		Run: func() error {
			f, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
			if err != nil {
				return err
			}
			number, err := unix.IoctlGetInt(int(f.Fd()), unix.TIOCGPTN)
			must(err)
			must(unix.IoctlSetPointerInt(int(f.Fd()), unix.TIOCSPTLCK, 0))
			tty, err := unix.Open("/dev/pts/"+strconv.Itoa(number), unix.O_RDWR, 0)
			must(err)
			// The attack has a session of its own, and no terminal yet.
			if err := unix.IoctlSetInt(tty, unix.TIOCSCTTY, 0); err != nil {
				return err
			}
			char := byte('x')
			return do(unix.SYS_IOCTL, uintptr(tty), unix.TIOCSTI, uintptr(unsafe.Pointer(&char)))
		},
	})
}
