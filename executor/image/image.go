// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Package image carries programs for the executor and the command line inside the
// plugin, which stays one file to install.
//
// "make build" puts the programs into a directory of the architecture that they are
// compiled for, of which a plugin carries its own alone: so that one that was compiled
// for another machine never gets into it. A plugin that was built by "go build" alone
// may have none.
package image

import (
	"io"
	"runtime"
)

// Program reads the executor's program, nil in a plugin that carries none.
func Program() io.Reader { return open("program") }

// Commands reads the command line's program, nil in a plugin that carries none.
func Commands() io.Reader { return open("commands") }

func open(name string) io.Reader {
	program, err := files.Open("files/" + runtime.GOARCH + "/" + name)
	if err != nil {
		return nil
	}
	return program
}
