// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Package image carries a program for the executor and the command line inside the
// plugin, which stays one file to install.
package image

import (
	"embed"
	"io"
)

// files has the program where "make build" has put it. A plugin that was built
// by "go build" alone has none.
//
//go:embed all:files
var files embed.FS

// Program reads the program, nil in a plugin that carries none.
func Program() io.Reader {
	program, err := files.Open("files/program")
	if err != nil {
		return nil
	}
	return program
}
