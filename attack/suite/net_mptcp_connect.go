// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Connects to a TCP port of the host over MPTCP, which Landlock's TCP rights do not cover.

package main

import (
	"os"

	"golang.org/x/sys/unix"
)

func init() {
	attack(Attack{
		Run: func() error { return connectInet(unix.SOCK_STREAM, 262) },
	})
}

func connectInet(kind, protocol int) error {
	fd, err := unix.Socket(unix.AF_INET, kind, protocol)
	if err != nil {
		return err
	}
	if err := unix.Connect(fd, inet(at("TCP"))); err != nil {
		return err
	}
	return readFrom(os.NewFile(uintptr(fd), "socket"))
}
