// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Lists the sockets of the host in /proc/net.

package main

import (
	"os"
	"strings"
)

func init() {
	attack(Attack{
		Network: true,
		Run: func() error {
			data, err := os.ReadFile("/proc/self/net/unix")
			if err == nil && !strings.Contains(string(data), at("ABSTRACT")[1:]) {
				return errNothing
			}
			return err
		},
	})
}
