// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/burin-labs/nomad-driver-harn/landlock"
)

// What Harn's serializer writes, and what it means here. The policies are by hand; the golden files
// beside have what is enforced, and what is said to people.
var harnPolicies = map[string]struct {
	want    Policy
	notes   int      // of the decoder
	refused []string // parts of the error
}{
	"default":          {want: Policy{SandboxProfile: "worktree"}},
	"neutral":          {want: Policy{SandboxProfile: "unrestricted"}},
	"workspace_paths":  {refused: []string{"sandbox_profile", `"workspace_paths"`, "leaves processes unconfined", `"worktree"`, `"unrestricted"`}},
	"wasi":             {refused: []string{"sandbox_profile", `"wasi"`, "WebAssembly", `"worktree"`}},
	"os_hardened":      {want: Policy{SandboxProfile: "os_hardened"}},
	"desktop_control":  {want: Policy{SandboxProfile: "worktree", SideEffectLevel: "desktop_control"}},
	"network":          {want: Policy{SandboxProfile: "worktree", SideEffectLevel: "network"}},
	"process_exec":     {want: Policy{SandboxProfile: "worktree", SideEffectLevel: "process_exec"}},
	"tools":            {want: Policy{SandboxProfile: "worktree"}, notes: 4},
	"tools_restricted": {want: Policy{SandboxProfile: "worktree"}, notes: 1},
	"capabilities": {want: Policy{
		SandboxProfile: "worktree", Capabilities: map[string][]string{"workspace": {"read_text", "list", "exists"}, "process": {"exec"}},
	}},
	"capabilities_restricted": {want: Policy{SandboxProfile: "worktree", Capabilities: map[string][]string{}}},
	"capabilities_scoped": {want: Policy{
		SandboxProfile: "worktree",
		Capabilities:   map[string][]string{"authority": {"write@plan_admission"}, "workspace": {"read_text", "write_text@plan_admission"}},
	}},
	"roots":           {want: Policy{SandboxProfile: "worktree", WorkspaceRoots: []string{"/srv/work"}, ReadOnlyRoots: []string{"/srv/models"}}},
	"presets":         {want: inProcess(ProcessSandbox{Presets: []string{"system_runtime", "developer_toolchains", "package_manager_config", "user_temp"}})},
	"presets_none":    {want: inProcess(ProcessSandbox{Presets: []string{}})},
	"presets_unknown": {refused: []string{"process_sandbox.presets[0]", `"developer_toolchain"`, `did you mean "developer_toolchains"`}},
	"read_roots": {want: Policy{
		SandboxProfile: "worktree", WorkspaceRoots: []string{"/srv/work"}, ProcessSandbox: &ProcessSandbox{ReadRoots: []string{"/srv/models", "/srv/work/vendor"}},
	}},
	"write_roots": {want: inProcess(ProcessSandbox{WriteRoots: []string{"/srv/cache"}})},
	"write_roots_of_a_reader": {want: Policy{
		SandboxProfile: "worktree", Capabilities: caps("read_text"), ProcessSandbox: &ProcessSandbox{WriteRoots: []string{"/srv/cache"}},
	}},
	"read_deny_roots": {want: Policy{
		SandboxProfile: "worktree", ReadOnlyRoots: []string{"/srv/models"}, ProcessSandbox: &ProcessSandbox{ReadDenyRoots: []string{"/srv/models/keys", ".env"}},
	}},
	"read_deny_all": {refused: []string{`process_sandbox.read_deny_roots[0]: "/srv" covers the workspace root "/srv/work"`}},
	"loopback": {want: Policy{
		SandboxProfile: "worktree", SideEffectLevel: "process_exec",
		ProcessSandbox: &ProcessSandbox{AllowTCPLoopback: true, NetnsLauncherPath: "/usr/libexec/harn-netns"},
	}},
	"loopback_network": {want: inProcess(ProcessSandbox{AllowTCPLoopback: true})},
	"unix_socket_roots": {want: Policy{
		SandboxProfile: "worktree", SideEffectLevel: "process_exec", ProcessSandbox: &ProcessSandbox{UnixSocketRoots: []string{"/run/db"}},
	}},
	"self_introspection": {want: inProcess(ProcessSandbox{AllowProcessSelfIntrospection: true})},
	"child_workspace_write": {want: Policy{
		SandboxProfile: "worktree", ReadOnlyRoots: []string{"/srv/models"}, Capabilities: caps("read_text", "list"),
		ProcessSandbox: &ProcessSandbox{AllowChildWorkspaceWrite: true},
	}},
	"seed_time": {want: Policy{SideEffectLevel: "workspace_write", WorkspaceRoots: []string{"/srv/work"}, Capabilities: caps("read_text", "write_text")}},
	"seed_time_profile": {
		want: Policy{SandboxProfile: "os_hardened", SideEffectLevel: "read_only"}, notes: 1,
	},
	"unknown_level":  {refused: []string{"side_effect_level", `"filesystem"`}},
	"unknown_member": {refused: []string{`"process_sandbox.read_root"`, `did you mean "read_roots"`}},
	"network_proxy":  {refused: []string{"process_network_proxy", "Harn's host"}},
}

func inProcess(s ProcessSandbox) Policy {
	return Policy{SandboxProfile: "worktree", ProcessSandbox: &s}
}

func TestHarnPolicies(t *testing.T) {
	files, err := filepath.Glob("testdata/harn/*.json")
	if err != nil || len(files) != len(harnPolicies) {
		t.Fatalf("%d files, %v, want %d", len(files), err, len(harnPolicies))
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		tc, ok := harnPolicies[name]
		if !ok {
			t.Errorf("%s: nobody says what it means", file)
			continue
		}
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			p, notes, err := DecodeJSON(data)
			if err == nil {
				err = p.Validate()
			}
			checkError(t, name, err, tc.refused)
			var text string
			if err != nil {
				text = "refused: " + err.Error() + "\n"
			} else {
				got := *p
				for _, list := range []*[]string{&got.WorkspaceRoots, &got.ReadOnlyRoots} {
					if len(*list) == 0 { // which Harn writes for what is absent
						*list = nil
					}
				}
				if !reflect.DeepEqual(got, tc.want) || len(notes) != tc.notes {
					encoded, _ := json.Marshal(&got)
					t.Errorf("got %s with notes %q", encoded, notes)
				}
				text = enforcedOf(t, p, notes)
			}
			checkGolden(t, "testdata/harn/"+name+".golden", text)
		})
	}
}

// enforcedOf says what becomes of a policy on a node that has all that there is.
func enforcedOf(t *testing.T, p *Policy, notes []string) string {
	t.Helper()
	plan, err := Build(p, lexical(p), Base{}, Node{ABI: landlock.NewestABI()})
	if err != nil {
		return "refused by the node: " + err.Error() + "\n"
	}
	var b strings.Builder
	var groups []string
	for _, group := range plan.Deny {
		groups = append(groups, group.Name)
	}
	fmt.Fprintf(&b, "profile %v, network %s, system calls denied: %s\n", plan.Profile, plan.network(), strings.Join(groups, " "))
	if plan.Landlock != nil {
		for _, rule := range plan.Landlock.Paths {
			fmt.Fprintf(&b, "%s %v\n", rule.Path, rule.Access)
		}
	}
	for _, mark := range lexical(p).Denied {
		fmt.Fprintf(&b, "%s denied by %s\n", mark.Path, mark.Field)
	}
	if presets := p.Presets(); presets != nil {
		fmt.Fprintf(&b, "presets %q\n", presets)
	} else {
		b.WriteString("presets: the operator's default\n")
	}
	for _, note := range slices.Concat(notes, plan.Notes) {
		fmt.Fprintf(&b, "note: %s\n", note)
	}
	return b.String()
}

func checkGolden(t *testing.T, file, text string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if text != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", file, text, want)
	}
}

// What a policy says is the same after another trip over the wire, a deny-all mark included.
func TestHarnPoliciesKeepTheirMeaning(t *testing.T) {
	for name, tc := range harnPolicies {
		if tc.refused != nil {
			continue
		}
		encoded, err := json.Marshal(&tc.want)
		if err != nil {
			t.Fatal(err)
		}
		again, _, err := DecodeJSON(encoded)
		if err != nil || !reflect.DeepEqual(again, &tc.want) {
			t.Errorf("%s: %s became %+v, %v", name, encoded, again, err)
		}
	}
}
