// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Command manual writes the pages of the manual that packages install: one of each
// command, from what the command's -h says, and one of the options of jobs and of the
// plugin, from the table of fields in package policy and the driver's schema, with the
// sentences of docs/jobs.md and docs/operator.md.
//
// It is run in the directory of the repository: manual DIRECTORY.
package main

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/burin-labs/nomad-driver-harn/cli"
	"github.com/burin-labs/nomad-driver-harn/cli/command"
	"github.com/burin-labs/nomad-driver-harn/driver"
	"github.com/burin-labs/nomad-driver-harn/policy"
	"github.com/burin-labs/nomad-driver-harn/sandbox"
	"github.com/burin-labs/nomad-driver-harn/version"
)

const program = command.Name

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "manual: expected a directory for the pages")
		os.Exit(2)
	}
	if err := write(os.Args[1], release{version.Version, version.Date}); err != nil {
		fmt.Fprintln(os.Stderr, "manual:", err)
		os.Exit(1)
	}
}

// release is whose manual it is.
type release struct{ version, date string }

// day is the date in the form of manuals.
func (v release) day() string {
	t, err := time.Parse(time.RFC3339, v.date)
	if err != nil {
		return "not released"
	}
	return t.Format(time.DateOnly)
}

func write(dir string, v release) error {
	pages, err := manual(".", v)
	if err != nil {
		return err
	}
	for name, text := range pages {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// manual are all pages, by the names of their files. root is the repository.
func manual(root string, v release) (map[string]string, error) {
	pages := map[string]string{}
	all := cli.Commands()
	for name, c := range all {
		pages[program+"-"+name+".1"] = commandPage(c, v)
	}
	pages[program+".1"] = overview(all, v)
	options, err := optionsPage(root, v)
	if err != nil {
		return nil, err
	}
	pages[program+".5"] = options
	return pages, nil
}

func lowerFirst(s string) string { return strings.ToLower(s[:1]) + s[1:] }

// commandPage has the sections of the command's help.
func commandPage(c *command.Command, v release) string {
	p := newPage(program+" "+c.Name, 1, lowerFirst(c.Summary), v)
	p.section("SYNOPSIS")
	p.line(`\fB%s\fR [\fIoptions\fR] %s`, escaped(program+" "+c.Name), escaped(c.Arguments))
	p.section("DESCRIPTION")
	for paragraph := range strings.SplitSeq(c.Description, "\n") {
		p.paragraph(paragraph)
	}
	p.section("OPTIONS")
	c.Flags.VisitAll(func(f *flag.Flag) {
		value, text := flag.UnquoteUsage(f)
		if command.IsSwitch(f) {
			value = ""
		}
		if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "0" {
			text += fmt.Sprintf(" (default %s)", f.DefValue)
		}
		p.item("-"+f.Name, value, text)
	})
	p.item("-h", "", "Show this page.")
	p.section("EXAMPLES")
	for _, e := range c.Examples {
		p.paragraph(e.What)
		p.example(program + " " + e.Line)
	}
	p.section("EXIT STATUS")
	for _, s := range c.Statuses {
		p.item(s.Code, "", s.Meaning)
	}
	p.seeAlso()
	return p.String()
}

func overview(all map[string]*command.Command, v release) string {
	p := newPage(program, 1, "a Nomad task driver that confines tasks by a Harn capability policy", v)
	p.section("SYNOPSIS")
	p.line(`\fB%s\fR \fIcommand\fR [\fIoptions\fR]`, escaped(program))
	p.section("DESCRIPTION")
	p.paragraph("Nomad starts this program as a plugin, from the client's `plugin_dir`. On a command line, it answers what a policy means, and what a host offers. " +
		"None of the commands needs a Nomad agent.")
	p.section("COMMANDS")
	for _, name := range slices.Sorted(maps.Keys(all)) {
		p.item(name, "", all[name].Summary)
	}
	p.section("FILES")
	p.files()
	p.seeAlso()
	return p.String()
}

func (p *page) files() {
	p.item("/opt/nomad/data/plugins/"+program, "", "The plugin. The directory is the `plugin_dir` of Nomad's own packages: `plugins` in their `data_dir`.")
	p.item(sandbox.DefaultStateDir, "", "Records of the tasks that run, unless the plugin option `state_dir` names another place.")
	p.item("/usr/share/doc/"+program, "", "An example of the plugin block (`examples/agent.hcl`) and of jobs, and the documents.")
}

func (p *page) seeAlso() {
	p.section("SEE ALSO")
	names := []string{program + "(1)"}
	for _, name := range slices.Sorted(maps.Keys(cli.Commands())) {
		names = append(names, program+"-"+name+"(1)")
	}
	p.line("%s", escaped(strings.Join(append(names, program+"(5)", "landlock(7)", "seccomp(2)"), ", ")))
}

// optionsPage is of what is written in jobs and in an agent's configuration.
func optionsPage(root string, v release) (string, error) {
	p := newPage(program, 5, "options of the driver harn in jobs, and of its plugin", v)
	p.section("DESCRIPTION")
	p.paragraph("A job's task with `driver = \"harn\"` has its options in a block `config`, and what it may do in a block `capability_policy` in that. " +
		"The operator has those of the plugin in the agent's configuration, in `plugin \"" + program + "\" { config { ... } }`.")
	for _, block := range []struct {
		title, document, heading string
		options                  []string
	}{
		{"OPTIONS OF TASKS", "docs/jobs.md", "## Task options", driver.TaskOptions()},
		{"FIELDS OF capability_policy", "", "", nil},
		{"OPTIONS OF THE PLUGIN", "docs/operator.md", "## Plugin options", driver.PluginOptions()},
	} {
		p.section(block.title)
		if block.document == "" {
			p.fields(policy.Fields())
			continue
		}
		rows, err := table(filepath.Join(root, block.document), block.heading, block.options)
		if err != nil {
			return "", err
		}
		for _, r := range rows {
			p.item(r.term, "", r.text)
			if r.absent != "" {
				p.note("Default: " + r.absent + ".")
			}
		}
	}
	p.section("FILES")
	p.files()
	p.section("EXAMPLES")
	for _, e := range []struct{ what, file string }{
		{"A job:", "example/hello.nomad.hcl"},
		{"A plugin block with all options, and what they are for:", "example/agent.hcl"},
	} {
		text, err := os.ReadFile(filepath.Join(root, e.file))
		if err != nil {
			return "", err
		}
		p.paragraph(e.what)
		p.example(string(text))
	}
	p.seeAlso()
	return p.String(), nil
}

// fields writes what the table of fields says of each. Members follow their block.
func (p *page) fields(fields []policy.Field) {
	for i := range fields {
		f := &fields[i]
		kind := f.Kind.Type()
		switch f.Kind {
		case policy.Block:
			kind = "block"
		case policy.Operations:
			kind = "block or map of list(string)"
		}
		p.item(f.Name, kind, f.Text+".")
		notes := "Absent: " + f.Absent + "."
		if f.Empty != "" && f.Empty != f.Absent {
			notes += " An empty list: " + f.Empty + "."
		}
		notes += " Under a ceiling: " + f.Ceiling + "."
		if f.Kernel != "" {
			notes += " Enforced by: " + f.Kernel + "."
		}
		if f.Since > 0 {
			notes += fmt.Sprintf(" Needs Landlock ABI %d.", f.Since)
		}
		p.note(notes)
		p.fields(f.Members)
	}
}
