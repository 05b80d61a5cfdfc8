// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Tells a path that exists outside of every root from one that does not, by the error of opening it.

package main

import (
	"errors"

	"golang.org/x/sys/unix"
)

func init() {
	attack(Attack{
		Run: func() error {
			there, missing := open(secret(), unix.O_RDONLY), open(outside()+"/missing", unix.O_RDONLY)
			if errors.Is(there, missing) {
				return there
			}
			return nil
		},
	})
}
