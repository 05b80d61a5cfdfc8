// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Connects to a TCP port of the host by the address 0.0.0.0, which stands for itself.

package main

import "net"

func init() {
	attack(Attack{
		Network: true,
		Run: func() error {
			_, port, err := net.SplitHostPort(at("TCP"))
			must(err)
			return fetch("tcp4", "0.0.0.0:"+port)
		},
	})
}
