// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package vfork

import "unsafe"

// Limit is struct rlimit, getrlimit(2).
type Limit struct{ Soft, Hard uint64 }

// OpenFiles is the limit of open files that this process was started with. Package
// syscall raises it, gives it back to what it executes itself, and does not say
// what it was. This package imports nothing, so that it is initialized before.
//
// It is zero if the kernel did not say.
var OpenFiles = openFiles()

func openFiles() (limit Limit) {
	const nofile = 7 // RLIMIT_NOFILE
	_, _ = rawCall(getrlimit, nofile, uintptr(unsafe.Pointer(&limit)), 0, 0, 0)
	return limit
}
