// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Connects to a TCP port of the host.

package main

import (
	"net"
	"strings"
	"time"
)

func init() {
	attack(Attack{
		Network: true,
		Run:     func() error { return fetch("tcp4", at("TCP")) },
	})
}

// fetch connects, and reads what the other side says.
func fetch(network, address string) error {
	c, err := net.DialTimeout(network, address, 2*time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(2 * time.Second))
	if strings.HasPrefix(network, "udp") || network == "unixgram" {
		if _, err := c.Write([]byte("hello")); err != nil {
			return err
		}
	}
	return readFrom(c)
}
