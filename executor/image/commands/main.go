// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Command commands is what of the command line needs nothing of Nomad: the commands of
// package command, and the roles of ../program, which a command starts. It starts in a
// third of the time that the plugin takes.
package main

import (
	"fmt"
	"os"

	"github.com/fatih/color"

	"github.com/burin-labs/nomad-driver-harn/cli/command"
	_ "github.com/burin-labs/nomad-driver-harn/egress/forward" // nor does its, in a forwarder
	_ "github.com/burin-labs/nomad-driver-harn/executor"       // its init does not return in a supervisor, a session or a probe
)

func main() {
	if len(os.Args) > 1 {
		all := command.All(&command.Streams{Stdin: os.Stdin, Stdout: color.Output, Stderr: os.Stderr})
		if c := all[os.Args[1]]; c != nil {
			os.Exit(c.Run(os.Args[2:]))
		}
	}
	fmt.Fprintln(os.Stderr, "This program is a part of nomad-driver-harn, which starts it.")
	os.Exit(2)
}
