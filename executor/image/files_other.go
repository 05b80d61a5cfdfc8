// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

//go:build !amd64 && !arm64

package image

import "embed"

// files is empty: package seccomp knows no other architectures.
var files embed.FS
