// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Opens the trigger of the kernel's emergency functions.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Root: true,
		Run: func() error {
			var st unix.Stat_t
			if err := unix.Stat("/proc/sysrq-trigger", &st); err != nil {
				return err
			}
			if st.Mode&unix.S_IFMT == unix.S_IFCHR { // /dev/null over it
				return errNothing
			}
			return open("/proc/sysrq-trigger", unix.O_WRONLY)
		},
	})
}
