// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/burin-labs/nomad-driver-harn/executor"
	"github.com/burin-labs/nomad-driver-harn/seccomp"
)

// The documents name every option of the plugin and of tasks, every field of a
// policy, and every attribute of nodes.
func TestDocumentsNameEveryOption(t *testing.T) {
	config, err := DecodeConfig(map[string]any{})
	if err != nil {
		t.Fatal(err)
	}
	attributes := slices.Sorted(maps.Keys(describe(config, executor.Proof{}, 2).Attributes))
	if len(attributes) < 20 || len(PluginOptions()) < 10 || len(TaskOptions()) < 10 {
		t.Fatalf("attributes %q, options %q, %q: are these all?", attributes, PluginOptions(), TaskOptions())
	}
	for _, d := range []struct {
		file, heading string
		names         []string
	}{
		{"operator.md", "## Plugin options", PluginOptions()},
		{"jobs.md", "## Task options", TaskOptions()},
		{"jobs.md", "## Fields of `capability_policy`", slices.Sorted(maps.Keys(policySpec))},
		{"security.md", "## In every profile", slices.DeleteFunc(seccomp.Always.Names(), func(name string) bool { return name == "ioctl" })},
	} {
		section := documented(t, d.file, d.heading)
		for _, name := range d.names {
			if !strings.Contains(section, "`"+name+"`") && !strings.Contains(section, "`"+name+" {") {
				t.Errorf("docs/%s, %q: no `%s`", d.file, d.heading, name)
			}
		}
	}
	section := documented(t, "operator.md", "## Node attributes")
	for _, attribute := range attributes {
		// A row names the first of a kind in full, and the last part of the others.
		_, last, _ := strings.Cut(strings.TrimPrefix(attribute, "driver."+Name+"."), ".")
		if !strings.Contains(section, "`"+attribute+"`") && (last == "" || !strings.Contains(section, "`."+last+"`")) {
			t.Errorf("docs/operator.md: no attribute %s", attribute)
		}
	}
}

// documented is a section of a document.
func documented(t *testing.T, file, heading string) string {
	t.Helper()
	text, err := os.ReadFile("../docs/" + file)
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "\n"+heading+"\n")
	if !found {
		t.Fatalf("docs/%s has no %q", file, heading)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	return section
}
