// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/burin-labs/nomad-driver-harn/internal/licenses"
)

// acceptable are the licenses of what the binary may link, by SPDX's names, and why.
// docs/releases.md says what they mean for those who distribute it.
var acceptable = map[string]string{
	"MIT":              "permissive: its notice goes along",
	"BSD-2-Clause":     "permissive: its notice goes along",
	"BSD-3-Clause":     "permissive: its notice goes along",
	"ISC":              "permissive: its notice goes along",
	"Apache-2.0":       "permissive: license and notices go along",
	"Unicode-DFS-2016": "permissive, of the tables of Unicode: its notice goes along",
	"MPL-2.0":          "this project's own: changes of those files are published",
}

// exceptions are modules with another license, and the sentence of the license by which it
// is for them alone.
var exceptions = map[string]struct{ license, sentence, why string }{
	"github.com/hashicorp/nomad": {
		"BUSL-1.1", "Business Source License 1.1",
		"a driver cannot be written without its packages: docs/releases.md",
	},
	"kernel.org/pub/linux/libs/security/libcap/psx": {
		"GPL-2.0", "SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only",
		"or BSD-3-Clause, as the user chooses: this project takes that",
	},
}

// modules are those that the binary, and the programs that it carries, link: their
// directories by name.
func modules(t *testing.T) map[string]string {
	t.Helper()
	dirs := map[string]string{}
	for _, arch := range []string{"amd64", "arm64"} {
		cmd := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}}\t{{.Dir}}{{end}}{{end}}", ".", "./executor/image/...")
		cmd.Env = append(os.Environ(), "GOARCH="+arch, "CGO_ENABLED=0")
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(out)) {
			if path, dir, found := strings.Cut(strings.TrimSpace(line), "\t"); found {
				dirs[path] = dir
			}
		}
	}
	return dirs
}

// Each module that is linked has a license, and it is one that was decided on.
func TestLicenses(t *testing.T) {
	all := modules(t)
	if len(all) < 50 || all["github.com/hashicorp/nomad"] == "" {
		t.Fatalf("%d modules are linked: are these all?", len(all))
	}
	seen := map[string]bool{}
	for path, dir := range all {
		names, text, err := licenses.Of(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, problem := range unacceptable(path, names, text) {
			t.Errorf("%s: %s", path, problem)
		}
		for _, name := range names {
			seen[name] = true
		}
	}
	for name := range acceptable {
		if !seen[name] {
			t.Errorf("nothing that is linked has the license %s: take it off the list", name)
		}
	}
	for path := range exceptions {
		if all[path] == "" {
			t.Errorf("%s is not linked: take it off the list", path)
		}
	}
}

func unacceptable(path string, names []string, text string) (problems []string) {
	if len(names) == 0 {
		problems = append(problems, "no license was found in its directory")
	}
	for _, name := range names {
		exception := exceptions[path]
		if acceptable[name] == "" && (name != exception.license || !strings.Contains(text, exception.sentence)) {
			problems = append(problems, name+" is not on the list of licenses: decide on it, in licenses_test.go and docs/releases.md")
		}
	}
	return problems
}

// The check finds what it is for.
func TestUnacceptableLicenses(t *testing.T) {
	check := func(path, license string) []string {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "LICENSE.txt"), []byte(license), 0o600); err != nil {
			t.Fatal(err)
		}
		names, text, err := licenses.Of(dir)
		if err != nil {
			t.Fatal(err)
		}
		return unacceptable(path, names, text)
	}
	own, err := os.ReadFile("LICENSE")
	if err != nil {
		t.Fatal(err)
	}
	const (
		business = "Business Source License 1.1\n\nParameters\n"
		affero   = "This program is free software: you can redistribute it and/or modify it under the terms of the GNU Affero General Public License as published by the Free Software Foundation, either version 3 of the License, or (at your option) any later version."
	)
	for _, c := range []struct{ path, license, want string }{
		{"x", string(own), ""},
		{"x", "", "no license"},
		{"x", affero, "AGPL-3.0"},
		{"x", string(own) + affero, "AGPL-3.0"},
		{"x", business, "BUSL-1.1"},
		{"github.com/hashicorp/nomad", business, ""},
		{"github.com/hashicorp/nomad", affero, "AGPL-3.0"},
		{"github.com/hashicorp/nomad", "Business Source License 2.0", "BUSL-1.1"},
	} {
		got := strings.Join(check(c.path, c.license), "; ")
		if (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s, %.40q: %q, want %q", c.path, c.license, got, c.want)
		}
	}
}
