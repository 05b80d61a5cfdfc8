// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package vfork

// Numbers of system calls.
const (
	getrlimit = 97
	exitGroup = 231
)
