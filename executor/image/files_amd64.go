// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package image

import "embed"

//go:embed all:files/amd64
var files embed.FS
