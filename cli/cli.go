// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Package cli is the command line: what an operator, or the author of a job,
// asks this binary. It decides nothing about tasks: that is package driver's.
//
// Data go to stdout, errors and remarks to stderr. Each command is a value of
// type command in a file of its own; to add one, add it to commands.
package cli

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/fatih/color"
	"github.com/hashicorp/cli"

	"github.com/burin-labs/nomad-driver-harn/version"
)

// Name is the name of the binary in help and in messages.
const Name = "nomad-driver-harn"

// unknownCommand is the exit status for a command that there is not, as a
// shell's.
const unknownCommand = 127

// streams are where a command reads and writes.
type streams struct {
	stdin          *os.File
	stdout, stderr io.Writer
}

// commands are all commands, by name.
//
// A name must not be one that a package of Nomad's looks for in os.Args[1] to
// become another program: executor, init, logmon, docker_logger.
func commands(s *streams) map[string]*command {
	all := map[string]*command{}
	for _, c := range []*command{
		newExplain(s),
		newProbe(s),
		newRun(s),
		newSuggest(s),
		newVersion(s),
	} {
		all[c.name] = c
	}
	return all
}

// Main runs a command line, without the name of the binary, and returns the
// exit status.
func Main(args []string) int {
	return run(args, &streams{stdin: os.Stdin, stdout: color.Output, stderr: os.Stderr})
}

func run(args []string, s *streams) int {
	app := cli.NewCLI(Name, version.Version)
	app.Args = args
	app.HelpWriter, app.ErrorWriter = s.stdout, s.stderr
	app.Commands = map[string]cli.CommandFactory{}
	all := commands(s)
	for name, c := range all {
		app.Commands[name] = func() (cli.Command, error) { return c, nil }
	}
	app.HelpFunc = func(map[string]cli.CommandFactory) string { return overview(all) }
	if name := app.Subcommand(); name != "" && all[name] == nil {
		complain(s.stderr, Name, fmt.Errorf("unknown command %q, expected one of %s", name, strings.Join(slices.Sorted(maps.Keys(all)), ", ")))
		return unknownCommand
	}
	status, err := app.Run()
	if err != nil {
		complain(s.stderr, Name, err)
		return 1
	}
	return status
}
