// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Makes a socket of any protocol of the internet's but TCP, UDP and ICMP, with the bits set that the kernel does not look at.
package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Run: func() error {
			const upper = 0xffffffff << 32
			err := errNothing
			for _, family := range []uintptr{unix.AF_INET, unix.AF_INET6} {
				for kind := uintptr(unix.SOCK_STREAM); kind <= 10; kind++ {
					for protocol := uintptr(2); protocol < 264; protocol++ {
						if kind == unix.SOCK_RAW || protocol == unix.IPPROTO_TCP || protocol == unix.IPPROTO_UDP || protocol == unix.IPPROTO_ICMPV6 {
							continue
						}
						fd, e := call(unix.SYS_SOCKET, family|upper, kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK|upper, protocol|upper)
						if e == nil {
							return unix.Close(int(fd))
						}
						err = e
					}
				}
			}
			return err
		},
	})
}
