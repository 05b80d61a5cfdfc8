// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Asks the kernel's audit for its state.

package main

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

func init() {
	attack(Attack{
		Root: true,
		Run: func() error {
			fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_AUDIT)
			if err != nil {
				return err
			}
			const auditGet = 1000
			header := unix.NlMsghdr{Len: unix.SizeofNlMsghdr, Type: auditGet, Flags: unix.NLM_F_REQUEST | unix.NLM_F_ACK, Seq: 1}
			message := (*[unix.SizeofNlMsghdr]byte)(unsafe.Pointer(&header))[:]
			if err := unix.Sendto(fd, message, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
				return err
			}
			var buf [4096]byte
			n, _, err := unix.Recvfrom(fd, buf[:], 0)
			if err != nil {
				return err
			}
			if answer := (*unix.NlMsghdr)(unsafe.Pointer(&buf[0])); n >= 20 && answer.Type == unix.NLMSG_ERROR {
				return errno(syscall.Errno(-*(*int32)(unsafe.Pointer(&buf[16]))))
			}
			return nil
		},
	})
}
