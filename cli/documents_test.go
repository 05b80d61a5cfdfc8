// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/burin-labs/nomad-driver-harn/cli/command"
)

// The commands of the documents are commands, with options that they have, on
// examples that exist.
func TestDocumentedCommands(t *testing.T) {
	files, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	pattern := regexp.MustCompile("(?m)(?:^    (?:\\$ )?|`)" + command.Name + " ([a-z]+)([^`\n]*)")
	option := regexp.MustCompile(`(?:^| )--?([a-z_]+)`)
	all := commands(&command.Streams{})
	found := 0
	for _, file := range append(files, "../README.md", "../SECURITY.md", "../ARCHITECTURE.md", "../CHANGELOG.md") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range pattern.FindAllStringSubmatch(string(text), -1) {
			found++
			c := all[match[1]]
			if c == nil {
				t.Errorf("%s: there is no command %s", file, match[1])
				continue
			}
			args, _, _ := strings.Cut(match[2], "#")
			args, _, _ = strings.Cut(args, " -- ") // what follows is the command of run
			args, _, _ = strings.Cut(args, "<(")   // and of the shell
			for _, name := range option.FindAllStringSubmatch(args, -1) {
				if c.Flags.Lookup(name[1]) == nil {
					t.Errorf("%s: %s %s has no option -%s", file, command.Name, match[1], name[1])
				}
			}
			for arg := range strings.FieldsSeq(args) {
				if strings.HasPrefix(arg, "example/") {
					if _, err := os.Stat("../" + arg); err != nil {
						t.Errorf("%s: %v", file, err)
					}
				}
			}
		}
	}
	if found < 10 {
		t.Errorf("%d commands were found, expected more: does this test see them?", found)
	}
}
