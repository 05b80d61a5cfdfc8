// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package command

import (
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/mitchellh/go-wordwrap"
)

// width is that of the text of help, in columns: what reads well, and fits
// everywhere.
const width = 79

// Help implements cli.Command. It has the sections of a page of man(7).
func (c *Command) Help() string {
	var b strings.Builder
	line := strings.TrimSpace(Name + " " + c.Name + " [options] " + c.Arguments)
	section(&b, "NAME", fmt.Sprintf("%s %s: %s", Name, c.Name, lowerFirst(c.Summary)))
	section(&b, "SYNOPSIS", line)
	section(&b, "DESCRIPTION", c.Description)
	var options []string
	c.Flags.VisitAll(func(f *flag.Flag) { options = append(options, option(f)) })
	list(&b, "OPTIONS", options)
	if len(c.Examples) > 0 {
		heading(&b, "EXAMPLES")
		for _, e := range c.Examples {
			fmt.Fprintf(&b, "%s\n\n        %s %s\n\n", indent(e.What, 4), Name, e.Line)
		}
	}
	var statuses []string
	for _, s := range c.Statuses {
		statuses = append(statuses, item(s.Code, s.Meaning))
	}
	list(&b, "EXIT STATUS", statuses)
	return strings.TrimRight(b.String(), "\n")
}

func heading(b *strings.Builder, title string) { fmt.Fprintf(b, "%s\n", title) }

func section(b *strings.Builder, title, text string) {
	heading(b, title)
	for paragraph := range strings.SplitSeq(text, "\n") {
		fmt.Fprintf(b, "%s\n\n", indent(paragraph, 4))
	}
}

func list(b *strings.Builder, title string, items []string) {
	if len(items) == 0 {
		return
	}
	heading(b, title)
	for _, item := range items {
		b.WriteString(item)
	}
	b.WriteString("\n")
}

func option(f *flag.Flag) string {
	placeholder, text := flag.UnquoteUsage(f)
	title := "-" + f.Name
	if !IsSwitch(f) && placeholder != "" {
		title += " " + strings.ToUpper(placeholder)
	}
	if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "0" {
		text += fmt.Sprintf(" (default %s)", f.DefValue)
	}
	return item(title, text)
}

// item is a term and its explanation, beside it or below it.
func item(term, text string) string {
	const column = 24
	body := indent(text, column)
	term = "    " + term
	if len(term) >= column-1 {
		return term + "\n" + body + "\n"
	}
	return term + body[len(term):] + "\n"
}

func indent(text string, columns int) string {
	margin := strings.Repeat(" ", columns)
	wrapped := wordwrap.WrapString(text, uint(width-columns))
	return margin + strings.ReplaceAll(wrapped, "\n", "\n"+margin)
}

func lowerFirst(s string) string { return strings.ToLower(s[:1]) + s[1:] }

// Overview is what there is.
func Overview(all map[string]*Command) string {
	var b strings.Builder
	section(&b, "NAME", Name+": a Nomad task driver that confines tasks by a Harn capability policy")
	section(&b, "SYNOPSIS", Name+" COMMAND [options]")
	section(&b, "DESCRIPTION", "Nomad starts this binary as a plugin, from the client's plugin_dir. "+
		"On a command line, it answers what a policy means, and what a host offers. None of the commands needs a Nomad agent.")
	var items []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		items = append(items, item(name, all[name].Summary))
	}
	list(&b, "COMMANDS", items)
	list(&b, "OPTIONS", []string{
		item("-h", "Show this page. Behind a command: the command's page."),
		item("-version", "Print the version."),
		item("-autocomplete-install", "Have the shell complete commands and options (bash, zsh, fish)."),
		item("-autocomplete-uninstall", "Undo that."),
	})
	list(&b, "ENVIRONMENT", []string{
		item("NO_COLOR", "If set, output has no colors. It has none where it is not a terminal's."),
	})
	return strings.TrimRight(b.String(), "\n")
}
