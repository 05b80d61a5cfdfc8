// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

const (
	document    = "../docs/jobs.md"
	tableBegins = "<!-- The table of fields: written by make generate, from policy/fields.go. -->\n"
	tableEnds   = "<!-- The end of the table of fields. -->\n"
)

// The document for authors of jobs has the table of fields as it is in the code.
func TestFieldsAreDocumented(t *testing.T) {
	text, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begins := strings.Cut(string(text), tableBegins)
	_, after, ends := strings.Cut(rest, tableEnds)
	if !begins || !ends {
		t.Fatalf("%s has no lines %q and %q", document, tableBegins, tableEnds)
	}
	want := before + tableBegins + markdown(Fields()) + tableEnds + after
	if *update {
		if err := os.WriteFile(document, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want != string(text) {
		t.Errorf("%s is not what policy/fields.go says: run make generate", document)
	}
}

// markdown is the table. Members of a block follow their block.
func markdown(fields []Field) string {
	var b strings.Builder
	b.WriteString("| field | type | absent means | under a ceiling | enforced by | |\n|---|---|---|---|---|---|\n")
	var row func(f *Field)
	row = func(f *Field) {
		kind := map[bool]string{true: "block", false: f.Kind.Type()}[f.Kind == Block]
		if f.Kind == Operations {
			kind = "block or map of list(string)"
		}
		text := f.Text
		if f.Since > 0 {
			text += fmt.Sprintf(". Needs Landlock ABI %d", f.Since)
		}
		if f.Empty != "" && f.Empty != f.Absent {
			what := map[bool]string{true: "block", false: "list"}[f.Kind == Operations]
			text += ". An empty " + what + ": " + f.Empty
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s | %s |\n", f.Name, kind, f.Absent, f.Ceiling, f.Kernel, text)
		for i := range f.Members {
			row(&f.Members[i])
		}
	}
	for i := range fields {
		row(&fields[i])
	}
	return b.String()
}

// Each row says what people need to know.
func TestFieldsSayWhatTheyAre(t *testing.T) {
	var check func(fields []Field, block string)
	check = func(fields []Field, block string) {
		for i := range fields {
			f := &fields[i]
			if !strings.HasPrefix(f.Name, block) || strings.Contains(f.Name[len(block):], ".") {
				t.Errorf("%s is a name within %q", f.Name, block)
			}
			if f.Text == "" || f.Absent == "" || f.Ceiling == "" || f.Kernel == "" && f.Kind != Block || strings.Contains(f.Text, "\n") {
				t.Errorf("%s: the row leaves something unsaid: %+v", f.Name, f)
			}
			if list := f.Kind == Paths || f.Kind == Names || f.Kind == Devices || f.Kind == Ports || f.Kind == Operations; list != (f.Empty != "") {
				t.Errorf("%s: what does an empty list mean? %q", f.Name, f.Empty)
			}
			if (f.Kind == Block) != (len(f.Members) > 0) {
				t.Errorf("%s: blocks have members, and nothing else has", f.Name)
			}
			check(f.Members, f.Name+".")
		}
	}
	check(Fields(), "")
}
