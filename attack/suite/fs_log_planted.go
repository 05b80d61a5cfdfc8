// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Puts a file into Nomad's directory of logs, where the log of another task of the allocation could be forged.

package main

import (
	"path/filepath"

	"golang.org/x/sys/unix"
)

func init() {
	attack(Attack{
		Run:     func() error { return open(at("LOGS")+"/other.stdout.0", unix.O_CREAT|unix.O_WRONLY) },
		Sibling: func() error { return open(filepath.Dir(at("LOGS"))+"/data/file", unix.O_CREAT|unix.O_WRONLY) },
	})
}
