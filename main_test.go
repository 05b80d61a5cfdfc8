// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/burin-labs/nomad-driver-harn/seccomp"
	"github.com/burin-labs/nomad-driver-harn/version"
)

// A supervisor is one process a task: it must not pay for the packages of the
// plugin, whose initialization takes longer and more memory than all it does.
func TestOtherRolesStartBeforeThePluginInitializes(t *testing.T) {
	cmd := exec.Command("/proc/self/exe")
	cmd.Args[0] = "harn-probe"
	cmd.Env = []string{"GODEBUG=inittrace=1"}
	trace, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, trace)
	}
	if !strings.Contains(string(trace), "init os ") {
		t.Fatalf("no trace of initialization:\n%s", trace)
	}
	for line := range strings.Lines(string(trace)) {
		if strings.HasPrefix(line, "init github.com/hashicorp/") || strings.HasPrefix(line, "init google.golang.org/protobuf/reflect") {
			t.Errorf("initialized before: %s", line)
		}
	}
}

// A command that needs no Nomad does not pay for it, either.
func TestCommandsStartBeforeNomadInitializes(t *testing.T) {
	cmd := exec.Command("/proc/self/exe", "-test.run=^$")
	cmd.Env = []string{"GODEBUG=inittrace=1"}
	trace, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, trace)
	}
	before, after, found := strings.Cut(string(trace), "init github.com/burin-labs/nomad-driver-harn/cli/early ")
	if !found || !strings.Contains(after, "init github.com/hashicorp/nomad/") {
		t.Fatalf("no trace of initialization:\n%s", trace)
	}
	for line := range strings.Lines(before) {
		if strings.HasPrefix(line, "init github.com/hashicorp/") || strings.HasPrefix(line, "init google.golang.org/protobuf/reflect") {
			t.Errorf("initialized before: %s", line)
		}
	}
}

// The README lists the calls of the group hardened: all of them.
func TestReadmeListsTheHardenedCalls(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(readme), "### What `os_hardened` adds")
	table, _, found := strings.Cut(section, "\nIt has no capabilities")
	if !found {
		t.Fatal("the README has no table of what os_hardened adds")
	}
	for _, name := range seccomp.Hardened.Names() {
		if !strings.Contains(table, "`"+name+"`") {
			t.Errorf("no %s in the README's table", name)
		}
	}
}

// The changelog's newest section is the binary's version, with a date; above it there may be
// what is not released.
func TestTheChangelogHasTheVersion(t *testing.T) {
	text, err := os.ReadFile("CHANGELOG.md")
	if err != nil {
		t.Fatal(err)
	}
	var headings []string
	for line := range strings.Lines(string(text)) {
		if heading, ok := strings.CutPrefix(line, "## "); ok && heading != "Unreleased\n" {
			headings = append(headings, strings.TrimSpace(heading))
		}
	}
	if len(headings) == 0 {
		t.Fatal("the changelog has no release")
	}
	release, date, _ := strings.Cut(headings[0], " ")
	if _, err := time.Parse("(2006-01-02)", date); err != nil || release != version.Version {
		t.Errorf("the changelog begins with %q, expected %s and its date, like (2006-01-02)", headings[0], version.Version)
	}
	if !regexp.MustCompile(`(?s)\n### Security\n.*\n### Added\n.*\n### Changed\n.*\n### Fixed\n`).Match(text) {
		t.Error("the changelog lacks one of Security, Added, Changed, Fixed, or has them in another order")
	}
}
