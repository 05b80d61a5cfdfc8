// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// What the documents refer to exists: files, headings, tests, rows of the attack
// suite, commands of make, and HCL is HCL. Documents that rot are found here,
// by the change that makes them.
func TestDocuments(t *testing.T) {
	documents := documentsOf(t)
	for _, name := range []string{"README.md", "SECURITY.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "docs/security.md"} {
		if !slices.ContainsFunc(documents, func(d *document) bool { return d.name == name }) {
			t.Fatalf("%s was not found", name)
		}
	}
	r := readReferences(t)
	links := 0
	for _, d := range documents {
		links += len(d.links)
		for _, problem := range d.problems(r) {
			t.Error(problem)
		}
	}
	if links < 100 {
		t.Errorf("%d links were found, expected more: does this test see them?", links)
	}
}

// The checks find what they are for.
func TestDocumentProblems(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("other.md", "# One heading\n## Two `words`, and more\n")
	write("x_test.go", "package x\nfunc TestThere(t *testing.T) {}\nconst row = \"fs_there_\"\n")
	r := references{tests: map[string]bool{"TestThere": true}, targets: map[string]bool{"demo": true}}
	for text, want := range map[string]string{
		"[a](other.md) [b](other.md#one-heading) [c](other.md#two-words-and-more) [d](https://x.example/)": "",
		"[`TestThere`](x_test.go) [`fs_there_*`](x_test.go) [test](x_test.go#:~:text=TestThere)":           "",
		"`make demo` runs TestThere":                      "",
		"# A\n[a](#a) `[no](link)`\n```\n[no](link)\n```": "",
		"```hcl\na { b = 1 }\n```":                        "",
		"[a](nowhere.md)":                                 "nowhere.md",
		"[a](other.md#three)":                             "#three",
		"[a](#three)":                                     "#three",
		"[`TestGone`](x_test.go)":                         "TestGone",
		"[test](x_test.go#:~:text=TestGone)":              "TestGone",
		"[`fs_gone_*`](x_test.go)":                        "fs_gone_",
		"TestGone":                                        "TestGone",
		"`make gone`":                                     "make gone",
		"    make gone   # x":                             "make gone",
		"```hcl\na {\n```":                                "HCL",
	} {
		write("doc.md", text)
		d, err := readDocument(dir, "doc.md")
		if err != nil {
			t.Fatal(err)
		}
		got := d.problems(r)
		if want == "" && len(got) > 0 || want != "" && (len(got) == 0 || !strings.Contains(got[0].Error(), want)) {
			t.Errorf("%q: %v, expected %q", text, got, want)
		}
	}
}

// references are what documents can name, besides files.
type references struct {
	tests   map[string]bool // functions of tests
	targets map[string]bool // of make
}

func readReferences(t *testing.T) references {
	t.Helper()
	r := references{tests: map[string]bool{}, targets: map[string]bool{}}
	walk(t, func(name string) {
		if !strings.HasSuffix(name, "_test.go") {
			return
		}
		for _, match := range testFunction.FindAllStringSubmatch(read(t, name), -1) {
			r.tests[match[1]] = true
		}
	})
	for _, match := range makeTarget.FindAllStringSubmatch(read(t, "Makefile"), -1) {
		r.targets[match[1]] = true
	}
	return r
}

// walk calls f with every file of the repository.
func walk(t *testing.T, f func(name string)) {
	t.Helper()
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (name == "bin" || name == ".git" || entry.Name() == "testdata" || entry.Name() == "node_modules"):
			return fs.SkipDir
		case entry.Type().IsRegular():
			f(name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func documentsOf(t *testing.T) (all []*document) {
	t.Helper()
	walk(t, func(name string) {
		if !strings.HasSuffix(name, ".md") {
			return
		}
		d, err := readDocument(".", name)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, d)
	})
	return all
}

// document is a file in Markdown.
type document struct {
	dir, name string
	text      string
	links     []link
	anchors   []string
	hcl       []string
}

type link struct{ text, target string }

var (
	testFunction = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	testName     = regexp.MustCompile(`\b(?:Test|Fuzz)[A-Z]\w+`)
	attackName   = regexp.MustCompile(`^(?:[a-z]+_)[a-z0-9_]*\*?$`)
	makeTarget   = regexp.MustCompile(`(?m)^([a-z0-9-]+):`)
	makeCommand  = regexp.MustCompile("(?m)(?:`(?:[A-Z_]+=\\S+ )*make|^    make) ([a-z0-9-]+)")
	inline       = regexp.MustCompile("`[^`\n]*`")
	linkPattern  = regexp.MustCompile(`\[([^\]\n]*)\]\(([^)\s]+)\)`)
)

func readDocument(dir, name string) (*document, error) {
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return nil, err
	}
	d := &document{dir: dir, name: name, text: string(text)}
	var block []string
	inBlock := ""
	for line := range strings.Lines(d.text) {
		fence, isFence := strings.CutPrefix(strings.TrimSpace(line), "```")
		switch {
		case isFence && inBlock == "":
			inBlock, block = "```"+fence, nil
		case isFence:
			if inBlock == "```hcl" {
				d.hcl = append(d.hcl, strings.Join(block, ""))
			}
			inBlock = ""
		case inBlock != "":
			block = append(block, line)
		case strings.HasPrefix(line, "#"):
			d.anchors = append(d.anchors, d.anchor(strings.TrimLeft(line, "# ")))
		case strings.HasPrefix(line, "    "): // a command and its output
		default:
			d.addLinks(line)
		}
	}
	return d, nil
}

// addLinks finds the links of a line. What is in backticks is no link, unless
// all of the link's text is.
func (d *document) addLinks(line string) {
	const open = "\x00"
	hidden := inline.ReplaceAllStringFunc(line, func(code string) string { return strings.ReplaceAll(code, "[", open) })
	for _, match := range linkPattern.FindAllStringSubmatch(hidden, -1) {
		d.links = append(d.links, link{strings.Trim(match[1], "`"), match[2]})
	}
}

// anchor is what GitHub makes of a heading: the letters, digits, dashes and
// underscores in lower case, with dashes for spaces; a number if it is there already.
func (d *document) anchor(heading string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(strings.TrimSpace(heading)) {
		switch {
		case r == ' ':
			b.WriteByte('-')
		case r == '-' || r == '_' || r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			b.WriteRune(r)
		}
	}
	name := b.String()
	for n := 1; slices.Contains(d.anchors, name); n++ {
		name = fmt.Sprintf("%s-%d", b.String(), n)
	}
	return name
}

// problems are what the document names and is not there.
func (d *document) problems(r references) (problems []error) {
	add := func(format string, args ...any) {
		problems = append(problems, fmt.Errorf("%s: "+format, append([]any{d.name}, args...)...))
	}
	for _, l := range d.links {
		if err := d.check(l); err != nil {
			add("[%s](%s): %w", l.text, l.target, err)
		}
	}
	for _, name := range testName.FindAllString(d.text, -1) {
		if !r.tests[name] {
			add("there is no test %s", name)
		}
	}
	for _, match := range makeCommand.FindAllStringSubmatch(d.text, -1) {
		if !r.targets[match[1]] {
			add("there is no make %s", match[1])
		}
	}
	for _, text := range d.hcl {
		if _, diagnostics := hclsyntax.ParseConfig([]byte(text), d.name, hcl.InitialPos); diagnostics.HasErrors() {
			add("HCL: %w", diagnostics)
		}
	}
	return problems
}

// check follows a link.
func (d *document) check(l link) error {
	if strings.Contains(l.target, "://") {
		return nil // the net is not asked
	}
	file, fragment, _ := strings.Cut(l.target, "#")
	target := d
	if file != "" {
		name := filepath.Join(filepath.Dir(d.name), file)
		info, err := os.Stat(filepath.Join(d.dir, name))
		if err != nil {
			return err
		}
		target = &document{dir: d.dir, name: name}
		if !info.IsDir() {
			if target, err = readDocument(d.dir, name); err != nil {
				return err
			}
		}
	}
	text, isText := strings.CutPrefix(fragment, ":~:text=")
	switch {
	case isText:
		return target.holds(text)
	case fragment != "" && !slices.Contains(target.anchors, fragment):
		return fmt.Errorf("there is no heading #%s in %s", fragment, target.name)
	}
	inCode := strings.HasSuffix(target.name, ".go")
	if inCode && testName.MatchString(l.text) {
		return target.holds(l.text)
	}
	if inCode && attackName.MatchString(l.text) {
		if strings.TrimSuffix(filepath.Base(target.name), ".go") == l.text {
			return nil
		}
		return target.holds(strings.TrimSuffix(l.text, "*"))
	}
	return nil
}

// holds reports whether a file has a text; of a test, the function.
func (d *document) holds(text string) error {
	if testName.MatchString(text) {
		text = "func " + text + "("
	}
	if !strings.Contains(d.text, text) {
		return fmt.Errorf("there is no %s in %s", text, d.name)
	}
	return nil
}
