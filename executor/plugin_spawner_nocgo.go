// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

//go:build !cgo

package executor

// loaderMounts are none: the program is a static one.
func loaderMounts() []Mount { return nil }
