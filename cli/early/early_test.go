// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package early

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/nomad/plugins/base"

	"github.com/burin-labs/nomad-driver-harn/cli/command"
)

// What needs Nomad's parsers, or is for a reader, is left to the plugin's binary.
func TestEarly(t *testing.T) {
	for line, early := range map[string]bool{
		"run -policy p.json -- sh -c x":        true,
		"run -policy p.json -- sh -job x -h":   true,
		"explain -read_only_roots /opt":        true,
		"version":                              true,
		"run -policy=p.json -job=x.hcl":        false,
		"explain --job x.hcl":                  false,
		"explain -config agent.hcl -policy p.": false,
		"run -h":                               false,
		"run --help":                           false,
		"probe":                                false,
		"suggest denials.ndjson":               false,
		"executor":                             false,
		"-version":                             false,
		"":                                     false,
	} {
		if got := isEarly(append([]string{"nomad-driver-harn"}, strings.Fields(line)...)); got != early {
			t.Errorf("%q: %v, want %v", line, got, early)
		}
	}
	if isEarly(nil) {
		t.Error("nothing is a command")
	}
}

func TestNamesAreThoseOfOthers(t *testing.T) {
	if PluginCookie != base.Handshake.MagicCookieKey {
		t.Errorf("Nomad's cookie is %s", base.Handshake.MagicCookieKey)
	}
	if has := slices.Sorted(maps.Keys(command.All(&command.Streams{}))); !slices.Equal(carried, has) {
		t.Errorf("the carried program has the commands %q, not %q", has, carried)
	}
}
