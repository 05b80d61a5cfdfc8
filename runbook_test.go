// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The runbook has a row for each warning of the code, and no row for one that is not
// there any more.
func TestRunbookHasEveryWarning(t *testing.T) {
	warnings := warningsOf(t)
	if len(warnings) < 20 || !slices.Contains(warnings, "could not read a record") || !slices.Contains(warnings, "metrics are not served, and it is tried again") {
		t.Fatalf("%q: are these all?", warnings)
	}
	runbook := read(t, "docs/runbook.md")
	var rows []string
	for _, heading := range []string{"\n## Health of a node\n", "\n## Log\n"} {
		_, section, found := strings.Cut(runbook, heading)
		if !found {
			t.Fatalf("no %q", heading)
		}
		section, _, _ = strings.Cut(section, "\n## ")
		for _, match := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(section, -1) {
			rows = append(rows, match[1])
		}
	}
	for _, warning := range warnings {
		if !slices.ContainsFunc(rows, func(row string) bool { return strings.Contains(row, warning) || strings.Contains(warning, row) }) {
			t.Errorf("docs/runbook.md has no row for %q", warning)
		}
	}
	for _, row := range rows {
		if !slices.ContainsFunc(warnings, func(warning string) bool { return strings.Contains(row, warning) || strings.Contains(warning, row) }) {
			t.Errorf("docs/runbook.md has a row for %q, which the code does not say", row)
		}
	}
	for _, informed := range informationsOf(t) {
		if !strings.Contains(runbook, "`"+informed+"`") {
			t.Errorf("docs/runbook.md does not name %q", informed)
		}
	}
}

// And one for each alert.
func TestRunbookHasEveryAlert(t *testing.T) {
	names := func(pattern, text string) (all []string) {
		for _, match := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
			all = append(all, match[1])
		}
		return all
	}
	alerts := names(`(?m)^ +- alert: (\w+)$`, read(t, "example/metrics/alerts.yml"))
	rows := names("(?m)^\\| `(Harn\\w+)` \\|", read(t, "docs/runbook.md"))
	if len(alerts) < 5 || !slices.Equal(alerts, rows) {
		t.Errorf("alerts %q, rows of docs/runbook.md %q", alerts, rows)
	}
}

// says are functions all of whose text is a reason of a node's health.
var says = map[string][]string{
	"driver":   {"judge"},
	"executor": {"trustDir", "proveSeccomp", "askProbe"},
	"landlock": {"Detect", "denied"},
	"seccomp":  {"Supported"},
}

// warningsOf are the texts of what the plugin warns of, and of why a node is unhealthy.
func warningsOf(t *testing.T) []string {
	t.Helper()
	var all []string
	add := func(node ast.Node) { all = append(all, textsIn(node)...) }
	eachFile(t, func(dir string, file *ast.File) {
		ast.Inspect(file, func(node ast.Node) bool {
			switch n := node.(type) {
			case *ast.CallExpr:
				if name := called(n); (name == "Warn" || name == "warn" || name == "Error") && len(n.Args) > 0 {
					add(n.Args[0])
				}
			case *ast.KeyValueExpr:
				if key, ok := n.Key.(*ast.Ident); ok && key.Name == "HealthDescription" {
					add(n.Value)
				}
			case *ast.AssignStmt:
				if target, ok := n.Lhs[0].(*ast.SelectorExpr); ok && target.Sel.Name == "Warning" {
					add(n.Rhs[0])
				}
			case *ast.ValueSpec:
				if dir == "landlock" && strings.HasPrefix(n.Names[0].Name, "Err") && len(n.Values) == 1 {
					add(n.Values[0])
				}
			case *ast.FuncDecl:
				if slices.Contains(says[dir], n.Name.Name) {
					add(n.Body)
				}
			}
			return true
		})
	})
	return all
}

func informationsOf(t *testing.T) (all []string) {
	t.Helper()
	eachFile(t, func(_ string, file *ast.File) {
		ast.Inspect(file, func(node ast.Node) bool {
			if call, ok := node.(*ast.CallExpr); ok && called(call) == "Info" && len(call.Args) > 0 {
				all = append(all, textsIn(call.Args[0])...)
			}
			return true
		})
	})
	return all
}

// called is the name of the function or method.
func called(call *ast.CallExpr) string {
	switch f := call.Fun.(type) {
	case *ast.SelectorExpr:
		return f.Sel.Name
	case *ast.Ident:
		return f.Name
	}
	return ""
}

var verb = regexp.MustCompile(`%[#+]?[a-z]`)

// textsIn are the sentences in a piece of code: of each the longest part that is always the same.
func textsIn(node ast.Node) (all []string) {
	ast.Inspect(node, func(node ast.Node) bool {
		literal, ok := node.(*ast.BasicLit)
		if !ok || literal.Kind != token.STRING {
			return true
		}
		text, err := strconv.Unquote(literal.Value)
		if err != nil {
			return true
		}
		parts := verb.Split(text, -1)
		longest := slices.MaxFunc(parts, func(a, b string) int { return len(a) - len(b) })
		if longest = strings.Trim(longest, " ,:"); strings.Count(longest, " ") >= 2 {
			all = append(all, longest)
		}
		return true
	})
	return all
}

// eachFile parses what the plugin is made of.
func eachFile(t *testing.T, do func(dir string, file *ast.File)) {
	t.Helper()
	for _, dir := range []string{"driver", "denials", "metrics", "executor", "egress", "landlock", "seccomp", "policy", "sandbox", "."} {
		names, err := filepath.Glob(dir + "/*.go")
		if err != nil || len(names) == 0 {
			t.Fatalf("%s: %v, %v", dir, names, err)
		}
		for _, name := range names {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			file, err := parser.ParseFile(token.NewFileSet(), name, text, 0)
			if err != nil {
				t.Fatal(err)
			}
			do(dir, file)
		}
	}
}
