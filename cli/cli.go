// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Package cli is the command line: what an operator, or the author of a job,
// asks this binary. It decides nothing about tasks: that is package sandbox's. The
// commands are in package command; this one finds them, completes them in a shell,
// and reads Nomad's files for them.
//
// Data go to stdout, errors and remarks to stderr.
package cli

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/fatih/color"
	"github.com/hashicorp/cli"
	"github.com/posener/complete"

	"github.com/burin-labs/nomad-driver-harn/cli/command"
	"github.com/burin-labs/nomad-driver-harn/version"
)

// unknownCommand is the exit status for a command that there is not, as a
// shell's.
const unknownCommand = 127

// Main runs a command line, without the name of the binary, and returns the
// exit status.
func Main(args []string) int {
	return run(args, &command.Streams{Stdin: os.Stdin, Stdout: color.Output, Stderr: os.Stderr})
}

// Commands are all commands, by name, for their manual: they read and write nothing.
func Commands() map[string]*command.Command { return commands(&command.Streams{}) }

// commands are all commands, by name.
//
// A name must not be one that a package of Nomad's looks for in os.Args[1] to
// become another program: executor, init, logmon, docker_logger.
func commands(s *command.Streams) map[string]*command.Command {
	all := command.All(s)
	for _, c := range []*command.Command{newProbe(s), newSuggest(s)} {
		all[c.Name] = c
	}
	return all
}

func run(args []string, s *command.Streams) int {
	s.Reader = reader{s}
	args = asOption(args)
	app := cli.NewCLI(command.Name, version.Version)
	app.Args = args
	app.HelpWriter, app.ErrorWriter = s.Stdout, s.Stderr
	app.Commands = map[string]cli.CommandFactory{}
	all := commands(s)
	for name, c := range all {
		app.Commands[name] = func() (cli.Command, error) { return completed{c}, nil }
	}
	app.HelpFunc = func(map[string]cli.CommandFactory) string { return command.Overview(all) }
	if name := app.Subcommand(); name != "" && all[name] == nil {
		command.Complain(s.Stderr, command.Name, fmt.Errorf("unknown command %q, expected one of %s", name, strings.Join(slices.Sorted(maps.Keys(all)), ", ")))
		return unknownCommand
	}
	status, err := app.Run()
	if err != nil {
		command.Complain(s.Stderr, command.Name, err)
		return 1
	}
	return status
}

// asOption makes an option of what many a program has as a command: help, and help of a
// command.
func asOption(args []string) []string {
	if len(args) == 0 || args[0] != "help" {
		return args
	}
	return append(slices.Clone(args[1:]), "-h")
}

// completed is a command whose options a shell can complete.
type completed struct{ *command.Command }

var (
	_ cli.Command             = completed{}
	_ cli.CommandAutocomplete = completed{}
)

// AutocompleteFlags implements cli.CommandAutocomplete.
func (c completed) AutocompleteFlags() complete.Flags {
	flags := complete.Flags{"-h": complete.PredictNothing}
	c.Flags.VisitAll(func(f *flag.Flag) {
		predictor := complete.Predictor(complete.PredictAnything)
		if pattern, ok := c.Files[f.Name]; ok {
			predictor = complete.PredictFiles(pattern)
		}
		if command.IsSwitch(f) {
			predictor = complete.PredictNothing
		}
		flags["-"+f.Name] = predictor
	})
	return flags
}

// AutocompleteArgs implements cli.CommandAutocomplete.
func (completed) AutocompleteArgs() complete.Predictor { return complete.PredictNothing }
