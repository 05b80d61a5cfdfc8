// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package forward

import (
	"errors"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// dialTimeout is how long one address may take to answer; the kernel's own limit is
// more than two minutes.
const dialTimeout = 20 * time.Second

// dial connects to the first of the addresses that answers: to these, and to what they
// are, nothing is looked up any more.
func dial(addresses []netip.Addr, port uint16) (*net.TCPConn, error) {
	err := errors.New("there is no address to connect to")
	for _, address := range addresses {
		d := net.Dialer{Timeout: dialTimeout}
		var conn net.Conn
		if conn, err = d.Dial("tcp", netip.AddrPortFrom(address, port).String()); err == nil {
			return conn.(*net.TCPConn), nil
		}
	}
	return nil, err
}

// isOwn reports whether an address is one of this machine's, whatever it is for others:
// the kernel sends from the very address to it. Nothing is sent to find out. What cannot
// be found out is taken for one, but for an address that there is no route to.
func isOwn(address netip.Addr) bool {
	const anyPort = 9
	family, to := unix.AF_INET6, unix.Sockaddr(&unix.SockaddrInet6{Port: anyPort, Addr: address.As16()})
	if address.Is4() {
		family, to = unix.AF_INET, &unix.SockaddrInet4{Port: anyPort, Addr: address.As4()}
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return true
	}
	defer unix.Close(fd)
	if err := unix.Connect(fd, to); err != nil {
		return !errors.Is(err, unix.ENETUNREACH) && !errors.Is(err, unix.EHOSTUNREACH)
	}
	from, err := unix.Getsockname(fd)
	if err != nil {
		return true
	}
	switch from := from.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrFrom4(from.Addr) == address
	case *unix.SockaddrInet6:
		return netip.AddrFrom16(from.Addr) == address
	}
	return true
}
