// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Package image carries the executor's own program inside the plugin, which
// stays one file to install.
package image

import "embed"

// files has the program where "make build" has put it. A plugin that was built
// by "go build" alone has none.
//
//go:embed all:files
var files embed.FS

// Program is the executor's program, nil in a plugin that carries none.
func Program() []byte {
	program, err := files.ReadFile("files/program")
	if err != nil {
		return nil
	}
	return program
}
