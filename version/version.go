// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Package version is the one place that knows the driver's version.
package version

// Version is a semantic version without a leading v, as Nomad's plugin loader
// parses it: of two plugins with the same name it takes the newer one.
const Version = "0.1.0"

// What "make" sets by the linker, from the repository that it builds in. They are
// empty in a binary that was built otherwise.
var (
	// Commit is the commit, with "-dirty" behind it if files have been changed since.
	Commit string
	// Date is the commit's, in UTC, as in RFC 3339: not that of the build, so that
	// two builds of a commit are the same.
	Date string
)
