// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package suggest

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/burin-labs/nomad-driver-harn/audit"
	"github.com/burin-labs/nomad-driver-harn/policy"
)

func file(path string, rights ...string) audit.Line {
	return audit.Line{TaskDir: "/a/t", Denial: audit.Denial{Kind: audit.FS, Rights: rights, Path: path, Count: 1}}
}

func call(name string) audit.Line {
	return audit.Line{TaskDir: "/a/t", Denial: audit.Denial{Kind: audit.Syscall, Rights: []string{name}, Count: 1}}
}

func port(right string, number int) audit.Line {
	return audit.Line{TaskDir: "/a/t", Denial: audit.Denial{Kind: audit.Net, Rights: []string{right}, Port: number, Count: 1}}
}

func TestFor(t *testing.T) {
	closed := policy.Policy{SideEffectLevel: "process_exec"}
	strict := policy.Policy{SideEffectLevel: "process_exec", Extensions: policy.Extensions{LocalIPC: new(false)}}
	hardened := policy.Policy{SandboxProfile: "os_hardened"}
	ports := policy.Policy{Extensions: policy.Extensions{TCPConnect: []int{443}}}
	local := policy.Policy{WorkspaceRoots: []string{"local"}, Capabilities: map[string][]string{"workspace": {"list"}}}
	for name, tc := range map[string]struct {
		policy, ceiling policy.Policy
		lines           []audit.Line
		want            func(p *policy.Policy)
		refused         string // what the reason holds; "" if nothing is refused
	}{
		"nothing denied": {want: func(*policy.Policy) {}},
		"read":           {lines: []audit.Line{file("/srv/m", "fs.read_file")}, want: func(p *policy.Policy) { p.ReadOnlyRoots = []string{"/srv/m"} }},
		"write": {lines: []audit.Line{file("/srv/m", "fs.make_reg")}, want: func(p *policy.Policy) {
			p.WorkspaceRoots = []string{".", "/srv/m"}
		}},
		"one root for what is in it": {
			lines: []audit.Line{file("/srv/m/a", "fs.read_file"), file("/srv/m", "fs.read_dir")},
			want:  func(p *policy.Policy) { p.ReadOnlyRoots = []string{"/srv/m"} },
		},
		"many files are their directory": {
			lines: []audit.Line{
				file("/srv/m/a", "fs.read_file"), file("/srv/m/b", "fs.read_file"), file("/srv/m/c", "fs.read_file"),
				file("/srv/m/d", "fs.read_file"), file("/srv/m/e", "fs.read_file"),
			},
			want: func(p *policy.Policy) { p.ReadOnlyRoots = []string{"/srv/m"} },
		},
		"in the task's directory": {policy: local, lines: []audit.Line{file("/a/t/out", "fs.make_reg")}, want: func(p *policy.Policy) {
			p.WorkspaceRoots = []string{"local", "out"}
		}},
		"an operation": {policy: local, lines: []audit.Line{file("/a/t/local", "fs.make_reg")}, want: func(p *policy.Policy) {
			p.Capabilities["workspace"] = []string{"list", "write_text"}
		}},
		"removing": {policy: local, lines: []audit.Line{file("/a/t/local", "fs.remove_file")}, want: func(p *policy.Policy) {
			p.Capabilities["workspace"] = []string{"list", "delete"}
		}},
		"a socket":                            {policy: closed, lines: []audit.Line{call("socket")}, want: func(p *policy.Policy) { p.SideEffectLevel = "network" }},
		"a socket pair":                       {policy: closed, lines: []audit.Line{call("socketpair")}, want: func(p *policy.Policy) { p.SideEffectLevel = "network" }},
		"a socket pair under the strict list": {policy: strict, lines: []audit.Line{call("socketpair"), call("sendmsg")}, want: func(p *policy.Policy) { p.LocalIPC = new(true) }},
		"a socket under the strict list":      {policy: strict, lines: []audit.Line{call("connect")}, want: func(p *policy.Policy) { p.SideEffectLevel = "network" }},
		"a ring":                              {lines: []audit.Line{call("io_uring_setup")}, refused: "no policy admits", want: func(*policy.Policy) {}},
		"an ioctl":                            {lines: []audit.Line{call("ioctl")}, refused: "not with these arguments", want: func(*policy.Policy) {}},
		"a port":                              {policy: ports, lines: []audit.Line{port("net.connect_tcp", 80)}, want: func(p *policy.Policy) { p.TCPConnect = []int{443, 80} }},
		"hardened":                            {policy: hardened, lines: []audit.Line{call("unshare")}, want: func(p *policy.Policy) { p.SandboxProfile = "worktree" }},

		"everything":   {lines: []audit.Line{file("/", "fs.read_dir")}, refused: "a root of /", want: func(*policy.Policy) {}},
		"proc":         {lines: []audit.Line{file("/proc/1/mem", "fs.read_file")}, refused: "of its own", want: func(*policy.Policy) {}},
		"never":        {lines: []audit.Line{call("ptrace")}, refused: "no policy admits", want: func(*policy.Policy) {}},
		"out of reach": {lines: []audit.Line{{Denial: audit.Denial{Kind: audit.Scope, Rights: []string{"scope.signal"}}}}, refused: "no policy admits", want: func(*policy.Policy) {}},

		"ceiling: no root": {
			ceiling: policy.Policy{ReadOnlyRoots: []string{}},
			lines:   []audit.Line{file("/srv/m", "fs.read_file")},
			refused: `read_only_roots: "/srv/m" exceed the operator's ceiling (no place but the task's own directories)`, want: func(*policy.Policy) {},
		},
		"ceiling: devices": {
			ceiling: policy.Policy{Extensions: policy.Extensions{Devices: []string{}}},
			lines:   []audit.Line{file("/dev/kvm", "fs.read_file")},
			refused: "it is a device: every task has a /dev of its own", want: func(*policy.Policy) {},
		},
		"ceiling: roots": {
			ceiling: policy.Policy{ReadOnlyRoots: []string{"/srv/public"}},
			lines:   []audit.Line{file("/srv/m", "fs.read_file"), file("/srv/public/x", "fs.read_file")},
			refused: `read_only_roots: "/srv/m" exceed the operator's ceiling ("/srv/public")`,
			want:    func(p *policy.Policy) { p.ReadOnlyRoots = []string{"/srv/public/x"} },
		},
		"ceiling: level": {
			policy: closed, ceiling: policy.Policy{SideEffectLevel: "process_exec"},
			lines: []audit.Line{call("socket")}, refused: `ceiling (side_effect_level = "process_exec")`, want: func(*policy.Policy) {},
		},
		"ceiling: profile": {
			policy: hardened, ceiling: policy.Policy{SandboxProfile: "os_hardened"},
			lines: []audit.Line{call("unshare")}, refused: `ceiling (sandbox_profile = "os_hardened")`, want: func(*policy.Policy) {},
		},
	} {
		t.Run(name, func(t *testing.T) {
			want := tc.policy.Clone()
			tc.want(want)
			before := tc.policy.Clone()
			s := For(&tc.policy, &tc.ceiling, tc.lines)
			if !reflect.DeepEqual(s.Policy, want) || !reflect.DeepEqual(&tc.policy, before) {
				t.Errorf("got %+v, expected %+v; given %+v", s.Policy, want, before)
			}
			if (len(s.Refused) > 0) != (tc.refused != "") {
				t.Errorf("refused: %+v", s.Refused)
			}
			for _, r := range s.Refused {
				if !strings.Contains(r.Reason, tc.refused) {
					t.Errorf("refused for %q, expected %q", r.Reason, tc.refused)
				}
			}
		})
	}
}

// A task chooses the names of files and processes: they stay strings and
// comments.
func TestHCLHoldsWhatTasksChoose(t *testing.T) {
	line := file("/srv/{file(\"/etc/shadow\")}\n}", "fs.read_file")
	line.Command = "x\nsandbox_profile"
	got := For(&policy.Policy{}, &policy.Policy{}, []audit.Line{line}).HCL()
	want := `capability_policy {
  read_only_roots = [
    "/srv/{file(\"/etc/shadow\")}\n}", # fs.read_file "/srv/{file(\"/etc/shadow\")}\n}", by "x\nsandbox_profile"
  ]
}
`
	if got != want {
		t.Errorf("got\n%s\nexpected\n%s", got, want)
	}
}

func TestFromLog(t *testing.T) {
	dir := t.TempDir()
	there := filepath.Join(dir, "there")
	if err := os.WriteFile(there, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]bool{
		"cat: " + there + ": No such file or directory":                  true,
		"ls: cannot access '" + there + "': No such file or directory":   true,
		"[Errno 2] No such file or directory: '" + there + "'":           true,
		"Error: ENOENT: no such file or directory, open '" + there + "'": true,
		"cat: " + there + "x: No such file or directory":                 false, // there is none here either
		there + ": line 4: secrets/x: No such file or directory":         false,
		"read " + there: false,
	} {
		lines, err := FromLog(strings.NewReader("before\n" + text + "\n"))
		if err != nil || (len(lines) == 1 && lines[0].Path == there) != want {
			t.Errorf("%s: %+v, %v", text, lines, err)
		}
	}
}

func TestEgressIsSuggested(t *testing.T) {
	host := func(name string, port int, reason string) audit.Line {
		return audit.Line{Denial: audit.Denial{Kind: audit.Egress, Rights: []string{audit.EgressRight}, Host: name, Port: port, Reason: reason, Count: 3}}
	}
	const none = "no allow rule matched"
	under := func(ceiling *policy.Policy, lines ...audit.Line) *Suggestion {
		return For(&policy.Policy{Extensions: policy.Extensions{Egress: &policy.Egress{Allow: []string{"a.com:443"}}}}, ceiling, lines)
	}
	s := under(&policy.Policy{}, host("pypi.org", 0, none), host("a.com", 8443, none), host("1.1.1.1", 80, none),
		host("evil.com", 443, "matched deny rule `evil.com`"), host("b.com", 443, "it resolves to an address that is not admitted: 10.0.0.1 is a private address, and no rule admits it"),
		host("169.254.169.254", 80, none), host("*", 443, none), host("a\x1b.com", 443, none))
	want := []string{"a.com:443", "pypi.org:443", "a.com:8443", "1.1.1.1:80"}
	if !reflect.DeepEqual(s.Policy.Egress.Allow, want) || len(s.Refused) != 5 {
		t.Errorf("%q, refused %+v", s.Policy.Egress.Allow, s.Refused)
	}
	text, err := s.Verified()
	if err != nil || !strings.Contains(text, "    \"pypi.org:443\", # egress to pypi.org (3 times)\n") {
		t.Errorf("%s (%v)", text, err)
	}
	s = under(&policy.Policy{Extensions: policy.Extensions{Egress: &policy.Egress{Allow: []string{"a.com"}}}}, host("pypi.org", 0, none), host("a.com", 80, none))
	if want := []string{"a.com:443", "a.com:80"}; !reflect.DeepEqual(s.Policy.Egress.Allow, want) || len(s.Refused) != 1 || !strings.Contains(s.Refused[0].Reason, "ceiling") {
		t.Errorf("under a ceiling: %q, refused %+v", s.Policy.Egress.Allow, s.Refused)
	}
}
