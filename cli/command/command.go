// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Package command has the commands of the command line. They ask package sandbox,
// and know of Nomad what a [Reader] reads: so that a command without Nomad's files
// starts before Nomad's packages are initialized, see package early.
package command

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/burin-labs/nomad-driver-harn/internal/plain"
)

// Name is the name of the binary in help and in messages.
const Name = "nomad-driver-harn"

// Streams are where a command reads and writes, and what reads Nomad's files for it.
type Streams struct {
	Stdin          *os.File
	Stdout, Stderr io.Writer
	// read: the standard input has been.
	read bool
	// Reader is nil where no command line may name such a file.
	Reader Reader
}

// All are the commands of this package, by name.
func All(s *Streams) map[string]*Command {
	all := map[string]*Command{}
	for _, c := range []*Command{
		newExplain(s),
		newRun(s),
		newVersion(s),
	} {
		all[c.Name] = c
	}
	return all
}

// Command is a command and its page of the manual.
type Command struct {
	*Streams
	Name        string
	Arguments   string // of the usage line, behind the options
	Summary     string // one line
	Description string // paragraphs, each on one line
	Examples    []Example
	Statuses    []Status
	// Misuse is the exit status for a command line that is not understood.
	Misuse int
	Flags  *flag.FlagSet
	// Files are patterns of the files that options name, for the shell to complete.
	Files map[string]string
	// Do does the work. args are what is left behind the options. An error is
	// printed.
	Do func(args []string) (status int, err error)
}

// Example is what a command line is for, and the line, without the name of the
// binary.
type Example struct{ What, Line string }

// Status is an exit status and what it means.
type Status struct{ Code, Meaning string }

// usageError is an error of who wrote the command line: help is near.
type usageError struct{ error }

// Usage is an error of who wrote the command line.
func Usage(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// Synopsis implements cli.Command.
func (c *Command) Synopsis() string { return c.Summary }

// Run implements cli.Command.
func (c *Command) Run(args []string) int {
	c.Flags.SetOutput(io.Discard) // it is reported once, here
	if err := c.Flags.Parse(args); err != nil {
		return c.misused(err)
	}
	code, err := c.Do(c.Flags.Args())
	if errors.As(err, new(usageError)) {
		return c.misused(err)
	}
	if err != nil {
		Complain(c.Stderr, Name+" "+c.Name, err)
	}
	return code
}

func (c *Command) misused(err error) int {
	Complain(c.Stderr, Name+" "+c.Name, err)
	fmt.Fprintf(c.Stderr, "For its options: %s %s -h\n", Name, c.Name)
	return c.Misuse
}

// IsSwitch reports whether an option takes no value.
func IsSwitch(f *flag.Flag) bool {
	b, ok := f.Value.(interface{ IsBoolFlag() bool })
	return ok && b.IsBoolFlag()
}

// Complain prints an error. Those of parsers can be of many lines.
func Complain(w io.Writer, who string, err error) {
	fmt.Fprintf(w, "%s: %s\n", who, plain.Text(strings.TrimSpace(err.Error())))
}
