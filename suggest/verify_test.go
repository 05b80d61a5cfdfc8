// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package suggest

import (
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/hashicorp/nomad/jobspec2"

	"github.com/burin-labs/nomad-driver-harn/audit"
	"github.com/burin-labs/nomad-driver-harn/policy"
)

// asJob reads a block as Nomad does: it is the oracle of what a block says.
func asJob(t *testing.T, block string) map[string]any {
	t.Helper()
	job, err := jobspec2.ParseWithConfig(&jobspec2.ParseConfig{
		Path: "job.hcl", Strict: true,
		Body: []byte("job \"x\" {\n group \"x\" {\n task \"x\" {\n driver = \"harn\"\n config {\n" + block + "\n}\n}\n}\n}\n"),
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, block)
	}
	config := job.TaskGroups[0].Tasks[0].Config
	blocks, ok := config["capability_policy"].([]map[string]any)
	if len(config) != 1 || !ok || len(blocks) != 1 {
		t.Fatalf("%+v\n%s", config, block)
	}
	return blocks[0]
}

func strs(list any) (all []string) {
	values, _ := list.([]any)
	for _, v := range values {
		all = append(all, v.(string))
	}
	return all
}

// What is printed, Nomad's parser reads as what was meant, and a terminal shows as it
// is, whatever names there are.
func FuzzSuggest(f *testing.F) {
	for _, seed := range []string{
		"/srv/x", "/srv/a b", "/srv/\x01", "/srv/\x7f\u0085\u202e", "/srv/${x}", "/srv/%{ if true }", "/srv/$${x}", "/srv/$$${x y}", "/srv/%%{", "/srv/\"", "/srv/\\",
		"/srv/\n}\nx = 1", "/srv/\xff", "/srv/é", "/srv/e\u0301", "/srv/\U000e0001", "/srv/#", "/srv/\t\r", "//", "/.", "/srv/$", "/srv/${", "/srv/<<EOF\n", "/srv/\ufeff", "/srv/\u2028",
	} {
		f.Add(seed, "fs.read_file", "cat", "workspace")
		f.Add("/srv/ok", "fs.make_reg", seed, seed)
		f.Add("/srv/ok", seed, "cat", "x")
	}
	f.Fuzz(func(t *testing.T, path, right, command, capability string) {
		p := &policy.Policy{SideEffectLevel: "process_exec", Capabilities: map[string][]string{capability: {"read_text"}}}
		if p.Validate() != nil {
			p.Capabilities = nil
		}
		line := audit.Line{TaskDir: "/a/t", Denial: audit.Denial{Kind: audit.FS, Rights: []string{right}, Path: path, Command: command, Count: 2}}
		s := For(p, &policy.Policy{}, []audit.Line{line, file("/srv/always", "fs.read_file"), call("socket")})
		if len(s.Changes)+len(s.Refused) < 2 {
			t.Fatalf("%+v", s)
		}
		for _, r := range s.Refused {
			if strings.ContainsAny(r.Denial, "\n\x1b") {
				t.Errorf("%q", r.Denial)
			}
		}
		block, err := s.Verified()
		if err != nil {
			if p.Capabilities != nil && capability != "workspace" {
				return // the job's own, of which the parser may make something else
			}
			t.Fatalf("%v\n%s", err, s.HCL())
		}
		if !utf8.ValidString(block) || strings.ContainsFunc(block, func(r rune) bool { return r < ' ' && r != '\n' || r >= 0x7f && r < 0xa0 || r == '\u202e' }) {
			t.Errorf("%q", block)
		}
		got := asJob(t, block)
		if want := s.Policy.ReadOnlyRoots; !reflect.DeepEqual(strs(got["read_only_roots"]), want) {
			t.Errorf("%q, expected %q", got["read_only_roots"], want)
		}
		if want := s.Policy.WorkspaceRoots; len(want) > 0 && !reflect.DeepEqual(strs(got["workspace_roots"]), want) {
			t.Errorf("%q, expected %q", got["workspace_roots"], want)
		}
		for field := range got {
			switch field {
			case "side_effect_level", "workspace_roots", "read_only_roots", "capabilities":
			default:
				t.Errorf("the block has %s:\n%s", field, block)
			}
		}
	})
}

// What a job cannot say is left out, with the reason.
func TestInexpressible(t *testing.T) {
	for path, part := range map[string]string{
		"/srv/\xff": "no UTF-8", "/srv/\ufffd": "no UTF-8", "/srv/${NOMAD_TASK_DIR}/x": "a variable", "/srv/${lower(\"X\")}": "a variable", "/srv/${env[\"X\"]}": "a variable", "/srv/${ x }": "a variable",
		"/srv/%{if true}..%{endif}/root": "a variable", "/srv/%{": "a variable", "/srv/$${x}": "a variable", "/srv/e\u0301": "HCL cannot",
	} {
		s := For(&policy.Policy{}, &policy.Policy{}, []audit.Line{file(path, "fs.read_file")})
		if len(s.Changes) != 0 || len(s.Refused) != 1 || !strings.Contains(s.Refused[0].Reason, part) {
			t.Errorf("%q: %+v, %+v", path, s.Changes, s.Refused)
		}
	}
	// What the policy itself has may be such a thing as well: then nothing is printed.
	s := For(&policy.Policy{ReadOnlyRoots: []string{"/srv/\xff"}}, &policy.Policy{}, []audit.Line{call("socket"), file("/srv/x", "fs.read_file")})
	if text, err := s.Verified(); err == nil {
		t.Errorf("%q", text)
	}
}

// Each field of a policy is printed and read.
func TestVerified(t *testing.T) {
	p := &policy.Policy{
		SandboxProfile: "worktree", SideEffectLevel: "network", WorkspaceRoots: []string{"local", "/srv/a"}, ReadOnlyRoots: []string{},
		Capabilities:   map[string][]string{"workspace": {"read_text"}, "git": {}, "odd name": {"x"}},
		ProcessSandbox: &policy.ProcessSandbox{Presets: []string{}, ReadRoots: []string{"/srv/b"}, AllowTCPLoopback: true, NetnsLauncherPath: "/x"},
		Extensions: policy.Extensions{
			TCPConnect: []int{443, 80}, TCPBind: []int{}, UnixSocketRoots: []string{"/run/x"}, LocalIPC: new(true), Devices: []string{"/dev/kvm"}, MinLandlockABI: 4,
			ReadDenyRoots: []string{"/srv/a/key"}, Protect: []string{".git/hooks"},
		},
	}
	for _, capability := range []string{"odd name", "plain"} {
		s := &Suggestion{Policy: p.Clone()}
		if capability == "plain" {
			delete(s.Policy.Capabilities, "odd name")
		}
		block, err := s.Verified()
		if err != nil {
			t.Fatalf("%v\n%s", err, s.HCL())
		}
		asJob(t, block)
	}
}
