// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Reads the memory of a host process of the same user by process_vm_readv.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Run: func() error {
			buf := make([]byte, len(token))
			local := []unix.Iovec{{Base: &buf[0], Len: uint64(len(buf))}}
			remote := []unix.RemoteIovec{{Base: uintptr(atInt("HOST_ADDR")), Len: len(buf)}}
			_, err := unix.ProcessVMReadv(atInt("HOST_PID"), local, remote, 0)
			return leaked(buf, err)
		},
	})
}
