// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Receives a descriptor of a directory of the host over an abstract UNIX socket, and reads a secret by it.

package main

import (
	"os"

	"golang.org/x/sys/unix"
)

func init() {
	attack(Attack{
		NetworkABI: 6,
		Run:        func() error { return receiveSecret(at("PASSING_ABSTRACT")) },
	})
}

// receiveSecret takes a directory from a UNIX socket, and opens a file in it.
func receiveSecret(address string) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: address}); err != nil {
		return err
	}
	var data [1]byte
	oob := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(fd, data[:], oob, 0)
	if err != nil {
		return err
	}
	messages, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil || len(messages) == 0 {
		return errNothing
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return err
	}
	file, err := unix.Openat(fds[0], "secret", unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	return readFrom(os.NewFile(uintptr(file), "secret"))
}
