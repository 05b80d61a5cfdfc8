// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package cli

import (
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/burin-labs/nomad-driver-harn/audit"
	"github.com/burin-labs/nomad-driver-harn/cli/command"
	"github.com/burin-labs/nomad-driver-harn/internal/plain"
	"github.com/burin-labs/nomad-driver-harn/policy"
	"github.com/burin-labs/nomad-driver-harn/suggest"
)

func newSuggest(s *command.Streams) *command.Command {
	c := &command.Command{
		Streams:   s,
		Name:      "suggest",
		Arguments: "[DENIALS.ndjson]",
		Summary:   "Show what to change in a policy for what was denied",
		Description: "Prints the capability_policy block that admits what a task was denied, with the smallest change to the one that it has. " +
			"Each changed line says which denials ask for it. Whether a program that you do not trust should get it is yours to decide.\n" +
			"The denials are the list in the allocation's logs, TASK.denials.ndjson; - reads it from the standard input. A path outside " +
			"of the policy does not exist for a task, so that nothing is denied that the kernel could log: give the task's own log by -log, " +
			"and paths in it that the task has not found, but that are on this host, are taken for wishes to read them, or to write them if a line says so. " +
			"Lines that say that a socket was denied are taken for wishes to use the network.\n" +
			"A task has a say in what it is denied, and writes its log. So nothing is suggested that nobody should give it: secrets of the system and " +
			"what the driver masks, credentials below any home, whole homes, Nomad's directories, /proc, /sys, devices, sockets of container engines.\n" +
			"With -config, nothing is suggested that the operator's ceiling forbids, or that the agent's configuration names as its directories.",
		Examples: []command.Example{
			{What: "After \"nomad alloc status\" has shown a denial:", Line: "suggest -job x.nomad.hcl <(nomad alloc fs ALLOC alloc/logs/TASK.denials.ndjson)"},
			{What: "After \"No such file or directory\" in the task's log:", Line: "suggest -job x.nomad.hcl -log <(nomad alloc logs -stderr ALLOC)"},
		},
		Statuses: []command.Status{
			{Code: "0", Meaning: "The block that is printed admits all that was denied, or nothing was."},
			{Code: "1", Meaning: "Of something no policy should be, or can be, suggested: the reason is on stderr. Or the input is wrong."},
			{Code: "2", Meaning: "The command line is wrong."},
		},
		Misuse: 2,
		Flags:  flag.NewFlagSet("suggest", flag.ContinueOnError),
		Files: map[string]string{
			"job": "*.hcl", "policy": "*.json",
			"config": "*.hcl", "log": "*",
		},
	}
	jobFile := c.Flags.String("job", "", "The policy is that of a task in this job `file`, - for the standard input.")
	task := c.Flags.String("task", "", "The `name` of the task, if the job has several.")
	policyFile := c.Flags.String("policy", "", "The policy is in this JSON `file`, - for the standard input.")
	config := c.Flags.String("config", "", "Keep to the ceiling of the plugin block in this Nomad agent configuration `file`.")
	log := c.Flags.String("log", "", "Look in this `file`, a log of the task, for paths that it has not found, and sockets that it was denied.")
	c.Do = func(args []string) (int, error) {
		if *jobFile != "" && *policyFile != "" || len(args) > 1 || len(args) == 0 && *log == "" {
			return 0, command.Usage("give one list of denials, or -log FILE, or both, and at most one of -job FILE and -policy FILE")
		}
		operator, err := s.Operator(*config)
		if err != nil {
			return 1, err
		}
		ceiling := &policy.Policy{}
		if operator != nil {
			ceiling = operator.Limits()
		}
		p, job := &policy.Policy{}, &command.Job{}
		if *jobFile != "" || *policyFile != "" {
			var err error
			if p, job, err = s.Policy(operator, *jobFile, *policyFile, *task); err != nil {
				return 1, err
			}
		}
		var lines []audit.Line
		for _, name := range args {
			found, err := readDenials(s, name, audit.ReadLines)
			if err != nil {
				return 1, err
			}
			lines = append(lines, found...)
		}
		if *log != "" {
			found, err := readDenials(s, *log, suggest.FromLog)
			if err != nil {
				return 1, err
			}
			lines = append(lines, found...)
		}
		guard, err := newGuard(s, operator, *config)
		if err != nil {
			return 1, err
		}
		return show(c, suggest.Guarded(p, ceiling, guard, lines), lines, job)
	}
	return c
}

// show prints what is suggested. job is what the job says beside its policy.
func show(c *command.Command, s *suggest.Suggestion, lines []audit.Line, job *command.Job) (int, error) {
	var failed error
	switch {
	case len(s.Changes) > 0 && job.Expression != "":
		fmt.Fprintln(c.Stderr, plain.Line("The job's policy has an expression, of which a printed block would have the value alone ("+job.Expression+"): this is only what to add to it."))
		fmt.Fprintf(c.Stdout, "%s", plain.Text(s.Additions()))
	case len(s.Changes) > 0:
		var block string
		if block, failed = s.Verified(); failed == nil {
			for _, variable := range job.Unknown {
				block = strings.ReplaceAll(block, "$"+variable, variable) // a variable again
			}
			fmt.Fprintf(c.Stdout, "%s", block)
		}
	}
	for _, refused := range s.Refused {
		fmt.Fprintln(c.Stderr, plain.Line(fmt.Sprintf("Not suggested for %s: %s", refused.Denial, refused.Reason)))
	}
	incomplete := slices.ContainsFunc(lines, func(line audit.Line) bool { return line.Truncated })
	if incomplete {
		fmt.Fprintln(c.Stderr, "The list of denials is not complete: more was denied than it holds.")
	}
	switch {
	case failed != nil, len(s.Refused) > 0, incomplete:
		return 1, failed
	case len(s.Changes) == 0:
		fmt.Fprintf(c.Stderr, "Nothing was denied that a policy could admit.\n")
	}
	return 0, nil
}

// readDenials reads from a file or, by the name "-", from the standard input.
func readDenials(s *command.Streams, name string, read func(io.Reader) ([]audit.Line, error)) ([]audit.Line, error) {
	if name == "-" {
		in, err := s.Input()
		if err != nil {
			return nil, err
		}
		return read(in)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines, err := read(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", plain.Name(name), err)
	}
	return lines, nil
}
