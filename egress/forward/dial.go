// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package forward

import (
	"errors"
	"net"
	"net/netip"
	"time"
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
