// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Sends with the first packet of a TCP connection, without calling connect.

package main

import (
	"net"

	"golang.org/x/sys/unix"
)

func init() {
	attack(Attack{
		Network: true,
		Run: func() error {
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
			if err != nil {
				return err
			}
			return unix.Sendto(fd, []byte("hello"), unix.MSG_FASTOPEN, inet(at("TCP")))
		},
	})
}

func inet(address string) *unix.SockaddrInet4 {
	a, err := net.ResolveTCPAddr("tcp4", address)
	must(err)
	return &unix.SockaddrInet4{Port: a.Port, Addr: [4]byte(a.IP.To4())}
}
