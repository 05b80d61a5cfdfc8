// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/burin-labs/nomad-driver-harn/cli"
	"github.com/burin-labs/nomad-driver-harn/driver"
	"github.com/burin-labs/nomad-driver-harn/internal/kerneltest"
	"github.com/burin-labs/nomad-driver-harn/policy"
)

// rendered are the pages as man(1) shows them, without spaces: where lines break is
// the terminal's.
func rendered(t *testing.T) map[string]string {
	t.Helper()
	if _, err := exec.LookPath("groff"); err != nil {
		kerneltest.Missing(t, "groff is not installed: make setup")
	}
	pages, err := manual("../..", release{"1.2.3", "2026-11-27T17:09:04Z"})
	if err != nil {
		t.Fatal(err)
	}
	shown := map[string]string{}
	for name, text := range pages {
		for _, c := range text {
			if c > '~' {
				t.Errorf("%s has %q, which roff does not read", name, c)
			}
		}
		cmd := exec.Command("groff", "-man", "-ww", "-Tascii", "-P-cbou")
		cmd.Stdin = strings.NewReader(text)
		var complaints bytes.Buffer
		cmd.Stderr = &complaints
		out, err := cmd.Output()
		if err != nil || complaints.Len() > 0 {
			t.Errorf("%s: groff: %v\n%s", name, err, complaints.Bytes())
		}
		shown[name] = strings.Join(strings.Fields(string(out)), " ")
	}
	return shown
}

// Each command has a page, with all that its -h says.
func TestEachCommandHasAPage(t *testing.T) {
	shown := rendered(t)
	for name, c := range cli.Commands() {
		page := shown["nomad-driver-harn-"+name+".1"]
		wants := []string{"nomad-driver-harn 1.2.3", "2026-11-27", c.Description}
		c.Flags.VisitAll(func(f *flag.Flag) { wants = append(wants, " -"+f.Name+" ") })
		for _, e := range c.Examples {
			wants = append(wants, "nomad-driver-harn "+e.Line)
		}
		for _, s := range c.Statuses {
			wants = append(wants, s.Code+" "+s.Meaning)
		}
		for _, want := range wants {
			if want = strings.Join(strings.Fields(want), " "); !strings.Contains(page, want) {
				t.Errorf("the page of %s does not say %q", name, want)
			}
		}
		if !strings.Contains(shown["nomad-driver-harn.1"], name+" "+c.Summary) {
			t.Errorf("the overview has no %s", name)
		}
	}
}

// The page of options has all of the driver's schema, and all fields of a policy.
func TestThePageOfOptionsHasAll(t *testing.T) {
	page := rendered(t)["nomad-driver-harn.5"]
	tasks, rest, found := strings.Cut(page, "FIELDS OF capability_policy")
	fields, plugin, also := strings.Cut(rest, "OPTIONS OF THE PLUGIN")
	if !found || !also {
		t.Fatal("the page lacks a section")
	}
	for section, names := range map[string][]string{tasks: driver.TaskOptions(), plugin: driver.PluginOptions()} {
		if len(names) < 10 {
			t.Errorf("options %q: are these all?", names)
		}
		for _, name := range names {
			if !regexp.MustCompile(`[ ,]` + name + `[ ,]`).MatchString(section) {
				t.Errorf("the page does not say %s", name)
			}
		}
	}
	var look func(all []policy.Field)
	look = func(all []policy.Field) {
		for i := range all {
			f := &all[i]
			for _, want := range []string{" " + f.Name + " ", "Absent: " + plain(f.Absent), "Under a ceiling: " + plain(f.Ceiling), plain(f.Text)} {
				if !strings.Contains(fields, want) {
					t.Errorf("%s: the page does not say %q", f.Name, want)
				}
			}
			look(f.Members)
		}
	}
	look(policy.Fields())
}

// plain is what is left of Markdown for a reader.
func plain(text string) string {
	text = regexp.MustCompile(`\[([^]]*)\]\([^)]*\)`).ReplaceAllString(text, "$1")
	return strings.NewReplacer("`", "", "**", "").Replace(text)
}

// A table that is not the driver's is an error: nobody would miss the option.
func TestTablesAreTheSchemas(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.md")
	if err := os.WriteFile(file, []byte("# X\n## Options\n| option | |\n|---|---|\n| `one`, `two { ... }` | a `b` |\n| `three` | none | c |\n## Next\n| `four` | d |\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	rows, err := table(file, "## Options", []string{"one", "three", "two"})
	if err != nil || len(rows) != 2 || rows[0] != (row{"one, two { ... }", "", "a `b`."}) || rows[1] != (row{"three", "none", "c."}) {
		t.Errorf("%+v, %v", rows, err)
	}
	for _, options := range [][]string{{"one", "two"}, {"four", "one", "three", "two"}} {
		if _, err := table(file, "## Options", options); err == nil {
			t.Errorf("%q are not the options of the table", options)
		}
	}
	if _, err := table(file, "## Nothing", nil); err == nil {
		t.Error("there is no such heading")
	}
}

// What roff would obey is text.
func TestMarkdown(t *testing.T) {
	for text, want := range map[string]string{
		".SH x":                  `\&.SH x`,
		"a `b-c` [d](e#f) **g**": `a \fBb\-c\fR d \fIg\fR`,
		`'\fB`:                   `\(aq\efB`,
	} {
		if got := markdown(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
