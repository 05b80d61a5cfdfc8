// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package forward

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// isOwn reports whether what is sent to an address ends on this machine, whatever the
// address is for others: a secondary one, a range that is routed to it, one that was added
// later. Nothing is sent to find out. What cannot be found out is taken for one, but for an
// address that there is no route to.
func isOwn(address netip.Addr) bool {
	kind, err := routeType(address.Unmap())
	if err != nil {
		return !errors.Is(err, unix.ENETUNREACH) && !errors.Is(err, unix.EHOSTUNREACH)
	}
	return kind != unix.RTN_UNICAST
}

// routeTimeout is how long the kernel may take to answer, which it does at once.
const routeTimeout = time.Second

// routeType asks the kernel for the type of the route to an address, rtnetlink(7).
func routeType(address netip.Addr) (byte, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return 0, fmt.Errorf("a netlink socket: %w", err)
	}
	defer unix.Close(fd)
	wait := unix.NsecToTimeval(routeTimeout.Nanoseconds())
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait); err != nil {
		return 0, err
	}
	if err := unix.Sendto(fd, routeRequest(address), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return 0, fmt.Errorf("asking for a route: %w", err)
	}
	return receiveRoute(fd)
}

// receiveRoute waits for the kernel's answer.
func receiveRoute(fd int) (byte, error) {
	answer := make([]byte, unix.Getpagesize())
	for until := time.Now().Add(routeTimeout); ; {
		n, from, err := unix.Recvfrom(fd, answer, 0)
		if err != nil {
			return 0, fmt.Errorf("the answer about a route: %w", err)
		}
		// Who has CAP_NET_ADMIN can send to this socket as well.
		if sender, ok := from.(*unix.SockaddrNetlink); ok && sender.Pid == kernelPort {
			return parseRoute(answer[:n])
		}
		if time.Now().After(until) {
			return 0, errors.New("the answer about a route: others than the kernel send to its socket")
		}
	}
}

// kernelPort is the port ID of the kernel, netlink(7).
const kernelPort = 0

// routeRequest is a message RTM_GETROUTE with the address as RTA_DST.
func routeRequest(address netip.Addr) []byte {
	raw := address.AsSlice()
	family := byte(unix.AF_INET)
	if address.Is6() {
		family = unix.AF_INET6
	}
	size := unix.SizeofNlMsghdr + unix.SizeofRtMsg + unix.SizeofRtAttr + len(raw)
	message := make([]byte, size)
	*(*unix.NlMsghdr)(unsafe.Pointer(&message[0])) = unix.NlMsghdr{Len: uint32(size), Type: unix.RTM_GETROUTE, Flags: unix.NLM_F_REQUEST, Seq: 1}
	*(*unix.RtMsg)(unsafe.Pointer(&message[unix.SizeofNlMsghdr])) = unix.RtMsg{Family: family, Dst_len: byte(8 * len(raw))}
	attribute := message[unix.SizeofNlMsghdr+unix.SizeofRtMsg:]
	*(*unix.RtAttr)(unsafe.Pointer(&attribute[0])) = unix.RtAttr{Len: uint16(unix.SizeofRtAttr + len(raw)), Type: unix.RTA_DST}
	copy(attribute[unix.SizeofRtAttr:], raw)
	return message
}

// parseRoute finds the type in an answer, or the error that it is.
func parseRoute(answer []byte) (byte, error) {
	messages, err := syscall.ParseNetlinkMessage(answer)
	if err != nil {
		return 0, fmt.Errorf("the answer about a route: %w", err)
	}
	for _, m := range messages {
		switch {
		case m.Header.Type == unix.NLMSG_ERROR && len(m.Data) >= 4:
			return 0, unix.Errno(-int32(binary.NativeEndian.Uint32(m.Data)))
		case m.Header.Type == unix.RTM_NEWROUTE && len(m.Data) >= unix.SizeofRtMsg:
			return m.Data[unsafe.Offsetof(unix.RtMsg{}.Type)], nil
		}
	}
	return 0, errors.New("the answer about a route has none")
}
