// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/burin-labs/nomad-driver-harn/landlock"
)

func caps(ops ...string) map[string][]string { return map[string][]string{"workspace": ops} }

func TestWorkspaceAccess(t *testing.T) {
	for _, tc := range []struct {
		name string
		caps map[string][]string
		want landlock.AccessFS
	}{
		{"absent", nil, readSet | writeSet},
		{"empty", map[string][]string{}, readSet},
		{"workspace empty", caps(), readSet},
		{"workspace nil", map[string][]string{"workspace": nil}, readSet},
		{"another capability", map[string][]string{"process": {"exec"}}, readSet},
		{"read_text", caps("read_text"), readSet},
		{"list", caps("list"), readSet},
		{"exists", caps("exists"), readSet},
		{"write_text", caps("write_text"), writeSet},
		{"delete", caps("delete"), deleteSet},
		{"delete and list", caps("delete", "list"), readSet | deleteSet},
		{"all", caps("read_text", "list", "exists", "write_text", "delete"), readSet | writeSet},
		{"in Harn only", caps("apply_edit"), readSet},
	} {
		if got := (&Policy{Capabilities: tc.caps}).WorkspaceAccess(); got != tc.want {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
	}
}

func TestNetworkAllowed(t *testing.T) {
	for level, want := range map[string]bool{
		"": true, "none": false, "read_only": false, "workspace_write": false, "process_exec": false, "network": true,
	} {
		if got := (&Policy{SideEffectLevel: level}).NetworkAllowed(); got != want {
			t.Errorf("%q: %v, want %v", level, got, want)
		}
	}
}

func TestValidate(t *testing.T) {
	for _, tc := range []struct {
		name   string
		policy Policy
		want   []string // parts of the error, none if it is valid
	}{
		{"zero", Policy{}, nil},
		{"full", Policy{
			SandboxProfile: "os_hardened", SideEffectLevel: "network",
			WorkspaceRoots: []string{"local", "./local/x", "/srv/a", "."}, ReadOnlyRoots: []string{"/usr/share", "a..b", "local/../alloc"},
			Capabilities: map[string][]string{"workspace": {"read_text", "apply_edit"}, "git": {"get_diff"}, "llm": {"call"}},
		}, nil},
		{"profile", Policy{SandboxProfile: "worktre"}, []string{"sandbox_profile", `"worktre"`, `did you mean "worktree"`, "os_hardened"}},
		{"profile far off", Policy{SandboxProfile: "docker"}, []string{"sandbox_profile", `"docker"`, "expected one of unrestricted, worktree, os_hardened"}},
		{"wasi", Policy{SandboxProfile: "wasi"}, []string{"sandbox_profile", `"wasi"`, "WebAssembly"}},
		{"level", Policy{SideEffectLevel: "Network"}, []string{"side_effect_level", `"Network"`, `did you mean "network"`}},
		{"operation", Policy{Capabilities: caps("read_text", "write")}, []string{"capabilities.workspace[1]", `"write"`, "write_text"}},
		{"operation of a typo", Policy{Capabilities: caps("raed_text")}, []string{`did you mean "read_text"`}},
		{"null operation", Policy{Capabilities: caps("")}, []string{"capabilities.workspace[0]", "empty operation"}},
		{"capability", Policy{Capabilities: map[string][]string{"worksapce": {"read_text"}}}, []string{`"worksapce"`, `did you mean "workspace"`}},
		{"nameless capability", Policy{Capabilities: map[string][]string{"": {"x"}}}, []string{"without a name"}},
		{"null root", Policy{WorkspaceRoots: []string{"local", ""}}, []string{"workspace_roots[1]", "empty path"}},
		{"whole file system", Policy{ReadOnlyRoots: []string{"/"}}, []string{"read_only_roots[0]", "whole file system"}},
		{"whole file system, disguised", Policy{ReadOnlyRoots: []string{"/usr/.."}}, []string{"read_only_roots[0]", `"/usr/.."`, "whole file system"}},
		{"leaving", Policy{WorkspaceRoots: []string{"../other"}}, []string{"workspace_roots[0]", `"../other"`, "leaves the task directory"}},
		{"leaving later", Policy{WorkspaceRoots: []string{"local/../../other"}}, []string{"leaves the task directory"}},
		{"NUL", Policy{WorkspaceRoots: []string{"a\x00b"}}, []string{"workspace_roots[0]", "NUL"}},
		{"many paths", Policy{ReadOnlyRoots: slices.Repeat([]string{"/opt"}, 1024), Extensions: Extensions{Devices: slices.Repeat([]string{"/dev/kvm"}, 1024)}}, nil},
		{"too many paths", Policy{ReadOnlyRoots: slices.Repeat([]string{"/opt"}, 1025)}, []string{"read_only_roots: 1025 entries, expected at most 1024"}},
		{"too many denied", Policy{Extensions: Extensions{ReadDenyRoots: slices.Repeat([]string{"/opt/x"}, 20000)}}, []string{"read_deny_roots: 20000 entries"}},
		{"too many hosts", Policy{SideEffectLevel: "network", Extensions: Extensions{Egress: &Egress{Allow: slices.Repeat([]string{"example.com"}, 1<<14+1)}}}, []string{"egress.allow: 16385 entries, expected at most 16384"}},
		{"two problems", Policy{SandboxProfile: "x", SideEffectLevel: "y"}, []string{"sandbox_profile", "side_effect_level"}},
	} {
		checkError(t, tc.name, tc.policy.Validate(), tc.want)
	}
}

func checkError(t *testing.T, name string, err error, want []string) {
	t.Helper()
	if err == nil {
		if len(want) > 0 {
			t.Errorf("%s: no error, want one with %q", name, want)
		}
		return
	}
	if len(want) == 0 {
		t.Errorf("%s: %v, want no error", name, err)
	}
	for _, part := range want {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%s: %q does not say %q", name, err, part)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("%s: %q is more than a line", name, err)
	}
}

func TestIntersect(t *testing.T) {
	type P = Policy
	for _, tc := range []struct {
		name             string
		ceiling, request Policy
		want             Policy // with the profile spelt out
		errors           []string
	}{
		{"nothing said", P{}, P{}, P{SandboxProfile: "worktree"}, nil},
		{"stricter request", P{}, P{SandboxProfile: "os_hardened"}, P{SandboxProfile: "os_hardened"}, nil},
		{"stricter ceiling", P{SandboxProfile: "os_hardened"}, P{SandboxProfile: "worktree"}, P{SandboxProfile: "os_hardened"}, nil},
		{"unrestricted is not for the asking", P{}, P{SandboxProfile: "unrestricted"}, P{SandboxProfile: "worktree"}, nil},
		{"unrestricted where the ceiling has it", P{SandboxProfile: "unrestricted"}, P{SandboxProfile: "unrestricted"}, P{SandboxProfile: "unrestricted"}, nil},
		{"default under an unrestricted ceiling", P{SandboxProfile: "unrestricted"}, P{}, P{SandboxProfile: "worktree"}, nil},
		{"lower level of the ceiling", P{SideEffectLevel: "read_only"}, P{SideEffectLevel: "network"}, P{SandboxProfile: "worktree", SideEffectLevel: "read_only"}, nil},
		{"lower level of the request", P{SideEffectLevel: "network"}, P{SideEffectLevel: "none"}, P{SandboxProfile: "worktree", SideEffectLevel: "none"}, nil},
		{"level of the ceiling alone", P{SideEffectLevel: "none"}, P{}, P{SandboxProfile: "worktree", SideEffectLevel: "none"}, nil},
		{"capabilities of the request alone", P{}, P{Capabilities: caps("list")}, P{SandboxProfile: "worktree", Capabilities: caps("list")}, nil},
		{"capabilities of the ceiling alone", P{Capabilities: caps("list")}, P{}, P{SandboxProfile: "worktree", Capabilities: caps("list")}, nil},
		{"capabilities within", P{Capabilities: caps("list", "delete")}, P{Capabilities: caps("list")}, P{SandboxProfile: "worktree", Capabilities: caps("list")}, nil},
		{"operation beyond", P{Capabilities: caps("list")}, P{Capabilities: caps("list", "delete")}, P{}, []string{"workspace.delete", "ceiling", "workspace = [list]"}},
		{"capability beyond", P{Capabilities: caps("list")}, P{Capabilities: map[string][]string{"git": {"get_diff"}}}, P{}, []string{`"git" exceed`, "ceiling"}},
		{"operation beyond an empty list", P{Capabilities: caps()}, P{Capabilities: caps("list")}, P{}, []string{"workspace.list"}},
		{"empty request under a write-only ceiling", P{Capabilities: caps("write_text")}, P{Capabilities: caps()}, P{}, []string{"grants nothing", "ceiling"}},
		{"root within", P{ReadOnlyRoots: []string{"/srv"}}, P{ReadOnlyRoots: []string{"/srv/models"}}, P{SandboxProfile: "worktree", ReadOnlyRoots: []string{"/srv/models"}}, nil},
		{"same root", P{ReadOnlyRoots: []string{"/srv"}}, P{ReadOnlyRoots: []string{"/srv/"}}, P{SandboxProfile: "worktree", ReadOnlyRoots: []string{"/srv/"}}, nil},
		{"wider root", P{ReadOnlyRoots: []string{"/srv/models"}}, P{ReadOnlyRoots: []string{"/srv"}}, P{}, []string{"read_only_roots", `"/srv" exceed`, "/srv/models"}},
		{"root beside, with the same beginning", P{ReadOnlyRoots: []string{"/srv/models"}}, P{ReadOnlyRoots: []string{"/srv/models-old"}}, P{}, []string{"/srv/models-old"}},
		{"root out by ..", P{ReadOnlyRoots: []string{"/srv"}}, P{ReadOnlyRoots: []string{"/srv/../etc"}}, P{}, []string{"/srv/../etc"}},
		{"writable root under a read-only ceiling", P{ReadOnlyRoots: []string{"/srv"}, WorkspaceRoots: []string{}}, P{WorkspaceRoots: []string{"/srv/x"}}, P{}, []string{"workspace_roots", "no place but the task's own"}},
		{"reading where the ceiling has writing", P{ReadOnlyRoots: []string{}, WorkspaceRoots: []string{"/srv"}}, P{ReadOnlyRoots: []string{"/srv/x"}}, P{SandboxProfile: "worktree", ReadOnlyRoots: []string{"/srv/x"}}, nil},
		{"relative roots are within", P{WorkspaceRoots: []string{}}, P{WorkspaceRoots: []string{"local"}}, P{SandboxProfile: "worktree", WorkspaceRoots: []string{"local"}}, nil},
	} {
		got, err := Intersect(&tc.ceiling, &tc.request, nil)
		checkError(t, tc.name, err, tc.errors)
		if err == nil && !reflect.DeepEqual(*got, tc.want) {
			t.Errorf("%s: got %+v, want %+v", tc.name, *got, tc.want)
		}
	}
}

func TestDecodeJSON(t *testing.T) {
	for _, tc := range []struct {
		json   string
		want   Policy
		notes  int
		errors []string
	}{
		{`{}`, Policy{}, 0, nil},
		{
			`{"sandbox_profile":"os_hardened","side_effect_level":"network","workspace_roots":["a"],"read_only_roots":["/b"],"capabilities":{"workspace":["list"]}}`,
			Policy{SandboxProfile: "os_hardened", SideEffectLevel: "network", WorkspaceRoots: []string{"a"}, ReadOnlyRoots: []string{"/b"}, Capabilities: caps("list")},
			0, nil,
		},
		{`{"side_effect_level":null,"capabilities":null,"workspace_roots":null}`, Policy{}, 0, nil},
		{`{"capabilities":{}}`, Policy{}, 0, nil},
		{`{"capabilities":{},"capabilities_restricted":false}`, Policy{}, 0, nil},
		{`{"capabilities_restricted":true}`, Policy{Capabilities: map[string][]string{}}, 0, nil},
		{`{"capabilities":{},"capabilities_restricted":true}`, Policy{Capabilities: map[string][]string{}}, 0, nil},
		{`{"capabilities_restricted":1}`, Policy{}, 0, []string{"capabilities_restricted:"}},
		{`{"tools":["read_file"],"recursion_limit":3,"tool_arg_constraints":[]}`, Policy{}, 2, nil},
		{`{"process_sandbox":{}}`, Policy{}, 0, nil},
		{`{"process_sandbox":{"read_deny_root":["/x"]}}`, Policy{}, 0, []string{`unknown field "process_sandbox.read_deny_root"`, `did you mean "read_deny_roots"`}},
		{`{"sandbox_profil":"worktree"}`, Policy{}, 0, []string{`unknown field "sandbox_profil"`, `did you mean "sandbox_profile"`}},
		{`{"workspace_roots":"a"}`, Policy{}, 0, []string{"workspace_roots: it is or holds a JSON string, expected a list of strings, as [\"x\"]"}},
		{`{"tcp_connect":["443"]}`, Policy{}, 0, []string{"tcp_connect: it is or holds a JSON string, expected a list of numbers, as [443]"}},
		{`{"local_ipc":"yes"}`, Policy{}, 0, []string{"local_ipc: it is or holds a JSON string, expected true or false"}},
		{`{"side_effect_level":3}`, Policy{}, 0, []string{"side_effect_level: it is or holds a JSON number, expected a string"}},
		{`{"capabilities":{"workspace":"list"}}`, Policy{}, 0, []string{"capabilities: it is or holds a JSON string, expected lists of strings by name"}},
		{`["a"]`, Policy{}, 0, []string{"JSON object"}},
		{`{} {}`, Policy{}, 0, []string{"behind"}},
		{``, Policy{}, 0, []string{"JSON object"}},
	} {
		got, notes, err := DecodeJSON([]byte(tc.json))
		checkError(t, tc.json, err, tc.errors)
		if err == nil && (!reflect.DeepEqual(*got, tc.want) || len(notes) != tc.notes) {
			t.Errorf("%s: got %+v with notes %q, want %+v with %d", tc.json, *got, notes, tc.want, tc.notes)
		}
	}
}

func TestParseFallback(t *testing.T) {
	for name, want := range map[string]Fallback{
		"enforce": Enforce, "required": Enforce, "1": Enforce, "TRUE": Enforce,
		"warn": Warn, " Warn ": Warn, "off": Off, "0": Off, "none": Off,
	} {
		if got, err := ParseFallback(name); err != nil || got != want {
			t.Errorf("%q: %v, %v, want %v", name, got, err, want)
		}
	}
	for _, name := range []string{"", "wran", "disabled"} {
		if got, err := ParseFallback(name); err == nil {
			t.Errorf("%q: %v, want an error", name, got)
		}
	}
}
