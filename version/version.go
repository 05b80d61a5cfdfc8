// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Package version is the one place that knows the driver's version.
package version

// Version is a semantic version without a leading v, as Nomad's plugin loader
// parses it: of two plugins with the same name it takes the newer one.
const Version = "0.1.0"
