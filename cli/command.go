// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package cli

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"

	"github.com/hashicorp/cli"
	"github.com/posener/complete"

	"github.com/burin-labs/nomad-driver-harn/internal/plain"
)

// command is a command and its page of the manual.
type command struct {
	*streams
	name        string
	arguments   string // of the usage line, behind the options
	synopsis    string // one line
	description string // paragraphs, each on one line
	examples    []example
	statuses    []status
	// misuse is the exit status for a command line that is not understood.
	misuse int
	flags  *flag.FlagSet
	// predictors complete the values of options, on the command line of a
	// shell. Options without one have any value.
	predictors complete.Flags
	// run does the work. args are what is left behind the options. An error is
	// printed.
	run func(args []string) (status int, err error)
}

// example is a command line, without the name of the binary, and what it is for.
type example struct{ what, line string }

// status is an exit status and what it means.
type status struct {
	code    string
	meaning string
}

// usageError is an error of who wrote the command line: help is near.
type usageError struct{ error }

func usage(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

var (
	_ cli.Command             = (*command)(nil)
	_ cli.CommandAutocomplete = (*command)(nil)
)

// Synopsis implements cli.Command.
func (c *command) Synopsis() string { return c.synopsis }

// Run implements cli.Command.
func (c *command) Run(args []string) int {
	c.flags.SetOutput(io.Discard) // it is reported once, here
	if err := c.flags.Parse(args); err != nil {
		return c.misused(err)
	}
	code, err := c.run(c.flags.Args())
	if errors.As(err, new(usageError)) {
		return c.misused(err)
	}
	if err != nil {
		complain(c.stderr, Name+" "+c.name, err)
	}
	return code
}

func (c *command) misused(err error) int {
	complain(c.stderr, Name+" "+c.name, err)
	fmt.Fprintf(c.stderr, "For its options: %s %s -h\n", Name, c.name)
	return c.misuse
}

// AutocompleteFlags implements cli.CommandAutocomplete.
func (c *command) AutocompleteFlags() complete.Flags {
	flags := complete.Flags{"-h": complete.PredictNothing}
	c.flags.VisitAll(func(f *flag.Flag) {
		predictor, ok := c.predictors[f.Name]
		if !ok {
			predictor = complete.PredictAnything
		}
		if isBool(f) {
			predictor = complete.PredictNothing
		}
		flags["-"+f.Name] = predictor
	})
	return flags
}

// AutocompleteArgs implements cli.CommandAutocomplete.
func (c *command) AutocompleteArgs() complete.Predictor { return complete.PredictNothing }

func isBool(f *flag.Flag) bool {
	b, ok := f.Value.(interface{ IsBoolFlag() bool })
	return ok && b.IsBoolFlag()
}

// complain prints an error. Those of parsers can be of many lines.
func complain(w io.Writer, who string, err error) {
	fmt.Fprintf(w, "%s: %s\n", who, plain.Text(strings.TrimSpace(err.Error())))
}
