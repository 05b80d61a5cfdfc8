// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Makes mount and UTS namespaces as root.

package main

import "golang.org/x/sys/unix"

func init() {
	attack(Attack{
		Root: true,
		Run:  func() error { return unshared(unix.CLONE_NEWNS | unix.CLONE_NEWUTS) },
	})
}
