// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package audit

import (
	"encoding/json"
	"maps"
	"slices"
	"testing"
)

// A line has all members of Harn's record, with their types; the count is the line's own.
func TestRefusal(t *testing.T) {
	for _, tc := range []struct {
		denial                       Denial
		backend, operation, resource string // "" is null
		paths                        []string
	}{
		{Denial{Kind: FS, Rights: []string{"fs.read_file"}, Path: "/srv/x"}, "linux_landlock", "read", "/srv/x", []string{"/srv/x"}},
		{Denial{Kind: FS, Rights: []string{"fs.execute", "fs.make_reg"}, Path: "/srv"}, "linux_landlock", "write", "/srv", []string{"/srv"}},
		{Denial{Kind: FS, Rights: []string{"fs.resolve_unix"}, Path: "/run/x"}, "linux_landlock", "unknown", "/run/x", []string{"/run/x"}},
		{Denial{Kind: FS, Rights: []string{"fs.truncate"}}, "linux_landlock", "write", "", []string{}},
		{Denial{Kind: Net, Rights: []string{"net.connect_tcp"}, Port: 22}, "linux_landlock", "unknown", "port 22", []string{}},
		{Denial{Kind: Egress, Rights: []string{EgressRight}, Host: "::1", Port: 443}, "egress", "unknown", "[::1]:443", []string{}},
		{Denial{Kind: Egress, Rights: []string{EgressRight}, Host: "x.example"}, "egress", "unknown", "x.example", []string{}},
		{Denial{Kind: Scope, Rights: []string{"scope.signal"}}, "linux_landlock", "unknown", "", []string{}},
		{Denial{Kind: Syscall, Rights: []string{"socket"}}, "linux_seccomp", "unknown", "socket", []string{}},
	} {
		tc.denial.Command = "sh"
		line := Line{Denial: tc.denial, TaskDir: "/task"}
		text, err := json.Marshal(line.Refusal())
		if err != nil {
			t.Fatal(err)
		}
		var got map[string]any
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatal(err)
		}
		if names := slices.Sorted(maps.Keys(got)); !slices.Equal(names, []string{"backend", "command", "cwd", "observability", "operation", "refused_paths", "resource", "schema", "stderr_excerpt"}) {
			t.Errorf("%s has %q", text, names)
		}
		resource, _ := got["resource"].(string)
		var paths []string
		for _, path := range got["refused_paths"].([]any) {
			paths = append(paths, path.(string))
		}
		if got["schema"] != "harn.process.sandbox_refusal.v1" || got["observability"] != "observed" || got["cwd"] != "/task" || got["command"].([]any)[0] != "sh" ||
			got["backend"] != tc.backend || got["operation"] != tc.operation || resource != tc.resource || !slices.Equal(paths, tc.paths) {
			t.Errorf("%+v: %s", tc.denial, text)
		}
	}
}
