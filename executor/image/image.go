// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Package image carries programs for the executor and the command line inside the
// plugin, which stays one file to install.
package image

import (
	"embed"
	"io"
)

// files has the programs where "make build" has put them. A plugin that was built
// by "go build" alone has none.
//
//go:embed all:files
var files embed.FS

// Program reads the executor's program, nil in a plugin that carries none.
func Program() io.Reader { return open("program") }

// Commands reads the command line's program, nil in a plugin that carries none.
func Commands() io.Reader { return open("commands") }

func open(name string) io.Reader {
	program, err := files.Open("files/" + name)
	if err != nil {
		return nil
	}
	return program
}
