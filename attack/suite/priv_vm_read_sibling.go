// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Reads the memory of another process of the same task: process_vm_readv is not for tasks at all.

package main

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

func init() {
	attack(Attack{
		Run: func() error {
			buf, from := make([]byte, len(token)), []byte(token)
			local := []unix.Iovec{{Base: &buf[0], Len: uint64(len(buf))}}
			remote := []unix.RemoteIovec{{Base: uintptr(unsafe.Pointer(&from[0])), Len: len(buf)}}
			_, err := unix.ProcessVMReadv(os.Getpid(), local, remote, 0)
			return leaked(buf, err)
		},
	})
}
