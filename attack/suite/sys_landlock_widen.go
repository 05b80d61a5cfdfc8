// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Enters a Landlock domain that allows everything, in the hope that the last one counts.

package main

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

func init() {
	attack(Attack{
		Run: func() error {
			attr := [3]uint64{0: 1 << 2} // handles READ_FILE
			set, err := call(444, uintptr(unsafe.Pointer(&attr)), 8, 0)
			if err == nil {
				root, e := unix.Open("/", unix.O_PATH|unix.O_CLOEXEC, 0)
				must(e)
				rule := struct {
					access uint64
					fd     int32
				}{1 << 2, int32(root)}
				if err = do(445, set, 1, uintptr(unsafe.Pointer(&rule)), 0); err == nil {
					must(unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
					err = do(446, set, 0)
				}
			}
			if e := readSecret(secret()); e == nil || err == nil {
				return e
			}
			return err
		},
	})
}
