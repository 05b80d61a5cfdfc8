// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Installs a filter of its own that allows everything, in the hope that the last one counts.

package main

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

func init() {
	attack(Attack{
		Run: func() error {
			allow := unix.SockFilter{Code: 0x06, K: 0x7fff0000} // BPF_RET, SECCOMP_RET_ALLOW
			program := unix.SockFprog{Len: 1, Filter: &allow}
			must(unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
			if err := unix.Prctl(unix.PR_SET_SECCOMP, 2, uintptr(unsafe.Pointer(&program)), 0, 0); err != nil {
				return err
			}
			return unix.PtraceSeize(atInt("HOST_PID"))
		},
	})
}
