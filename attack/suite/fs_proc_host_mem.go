// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Reads the memory of a host process of the same user through /proc/PID/mem.

package main

import "os"

func init() {
	attack(Attack{
		Run: func() error { return readMemory(hostPath("mem"), int64(atInt("HOST_ADDR"))) },
	})
}

func readMemory(file string, addr int64) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	buf := make([]byte, len(token))
	_, err = f.ReadAt(buf, addr)
	return leaked(buf, err)
}
