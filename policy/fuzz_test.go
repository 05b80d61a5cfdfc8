// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"encoding/json"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/burin-labs/nomad-driver-harn/landlock"
)

// Whatever a policy file holds: a policy or an error, and a policy that is
// accepted means the same after another trip through JSON.
func FuzzDecodeJSON(f *testing.F) {
	for _, seed := range []string{
		`{}`,
		`{"sandbox_profile": "os_hardened", "side_effect_level": "network", "workspace_roots": ["local", "/srv"]}`,
		`{"read_only_roots": [""], "capabilities": {"workspace": ["read_text", null]}}`,
		`{"capabilities_restricted": true, "tools": ["x"], "process_sandbox": {}}`,
		`{"capabilities": {}} trailing`,
		`[]`, `{"sandbox_profile": 1}`, `{"workspace_roots": ["\u0000"]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, _, err := DecodeJSON(data)
		if err != nil || p.Validate() != nil {
			return
		}
		encoded, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		again, _, err := DecodeJSON(encoded)
		if err != nil {
			t.Fatalf("%s was accepted, and is refused as %s: %v", data, encoded, err)
		}
		for abi := landlock.ABI(0); abi <= landlock.NewestABI(); abi++ {
			node := Node{ABI: abi, Fallback: Warn}
			first, firstErr := Build(p, lexical(p), world, node)
			second, secondErr := Build(again, lexical(again), world, node)
			if (firstErr == nil) != (secondErr == nil) || firstErr == nil && first.String() != second.String() {
				t.Fatalf("%s and %s are not the same at ABI %d:\n%v %v\n%v %v", data, encoded, abi, first, firstErr, second, secondErr)
			}
		}
	})
}

// A root that is accepted stays where it may be, and containment is by
// components.
func FuzzRoots(f *testing.F) {
	for _, seed := range [][2]string{
		{"local", "local/x"},
		{"/srv/models", "/srv/models-old"},
		{"../x", "/"},
		{"a/../..", "//srv"},
		{"/srv/./x/..", "/srv"},
		{"", "\x00"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, root, path string) {
		const task = "/alloc/task"
		if validateRoot(root) == nil {
			full := root
			if !filepath.IsAbs(root) {
				full = filepath.Join(task, root)
				if full != task && !strings.HasPrefix(full, task+"/") {
					t.Fatalf("the root %q leaves the task directory: %s", root, full)
				}
			}
			if filepath.Clean(full) == "/" {
				t.Fatalf("the root %q is the whole file system", root)
			}
		}
		if !filepath.IsAbs(root) || !filepath.IsAbs(path) {
			return
		}
		clean, beneath := filepath.Clean(root), filepath.Clean(path)
		want := beneath == clean || strings.HasPrefix(beneath, strings.TrimSuffix(clean, "/")+"/")
		if got := Contains(clean, beneath); got != want {
			t.Fatalf("%q contains %q: %v, want %v", clean, beneath, got, want)
		}
	})
}

// picker makes policies of a fuzzer's bytes: each chooses a value, most of
// which are valid, so that most pairs reach the properties.
type picker []byte

func (p *picker) pick(n int) int {
	if len(*p) == 0 {
		return 0
	}
	b := (*p)[0]
	*p = (*p)[1:]
	return int(b) % n
}

func pickOne[T any](p *picker, values ...T) T { return values[p.pick(len(values))] }

func pickSome(p *picker, values ...string) []string {
	switch n := p.pick(len(values) + 2); n {
	case 0:
		return nil
	default:
		out := []string{}
		for range n - 1 {
			out = append(out, pickOne(p, values...))
		}
		return out
	}
}

func (p *picker) policy() *Policy {
	made := &Policy{
		SandboxProfile:  pickOne(p, "", "unrestricted", "worktree", "os_hardened"),
		SideEffectLevel: pickOne(p, "", "none", "read_only", "workspace_write", "process_exec", "network"),
		WorkspaceRoots:  pickSome(p, "local", "/srv", "/srv/a", "/srv/a/b", "/srv/ab"),
		ReadOnlyRoots:   pickSome(p, "data", "/srv", "/srv/c", "/opt", "/opt/x/../y"),
	}
	if p.pick(2) == 1 {
		made.Capabilities = map[string][]string{}
		if ops := pickSome(p, "read_text", "list", "exists", "write_text", "delete", "apply_edit"); ops != nil {
			made.Capabilities[Workspace] = ops
		}
		if ops := pickSome(p, "exec", "spawn"); ops != nil {
			made.Capabilities["process"] = ops
		}
	}
	made.TCPConnect = pickOne(p, nil, []int{}, []int{443}, []int{80, 443}, []int{22})
	made.TCPBind = pickOne(p, nil, []int{}, []int{0}, []int{8080})
	made.UnixSocketRoots = pickSome(p, "/run/db", "/run", "local")
	made.MinLandlockABI = p.pick(12)
	return made
}

// What comes out of an intersection is never wider than either side, does not
// change when it is done again, and does not depend on which side is which
// where both are within the other.
func FuzzIntersect(f *testing.F) {
	f.Add([]byte{}, []byte{})
	f.Add([]byte{2, 5, 2, 1, 2, 1, 1, 3, 1, 2}, []byte{3, 4, 1, 0, 0, 1, 2, 1})
	f.Add([]byte{1, 0, 3, 1, 4}, []byte{1, 5, 3, 2, 3, 3, 1, 1})
	f.Fuzz(func(t *testing.T, left, right []byte) {
		ceiling, request := (*picker)(&left).policy(), (*picker)(&right).policy()
		if ceiling.Validate() != nil || request.Validate() != nil {
			return
		}
		got, err := Intersect(ceiling, request)
		if err != nil {
			return
		}
		for _, side := range []*Policy{ceiling, request} {
			if wider := widerThan(got, side); wider != "" {
				t.Fatalf("%+v ∩ %+v = %+v: its %s is wider than that of %+v", ceiling, request, got, wider, side)
			}
		}
		again, err := Intersect(ceiling, got)
		if err != nil || !reflect.DeepEqual(again, got) {
			t.Fatalf("%+v ∩ %+v is not stable: %+v, %v", ceiling, got, again, err)
		}
		back, err := Intersect(request, ceiling)
		if err != nil {
			return
		}
		if back.Profile() != got.Profile() || back.NetworkAllowed() != got.NetworkAllowed() || back.WorkspaceAccess() != got.WorkspaceAccess() {
			t.Fatalf("%+v ∩ %+v = %+v, the other way round %+v", ceiling, request, got, back)
		}
	})
}

// widerThan names a field in which p admits more than the limit, "" if there
// is none. Relative roots are the task's own, which every ceiling admits.
func widerThan(p, limit *Policy) string {
	switch {
	case p.Profile() < limit.Profile():
		return "profile"
	case p.NetworkAllowed() && !limit.NetworkAllowed():
		return "network"
	case p.WorkspaceAccess()&^limit.WorkspaceAccess() != 0:
		return "workspace access"
	case within("workspace_roots", p.WorkspaceRoots, limit.WorkspaceRoots) != nil:
		return "workspace_roots"
	case within("unix_socket_roots", p.UnixSocketRoots, limit.UnixSocketRoots) != nil:
		return "unix_socket_roots"
	case p.MinLandlockABI < limit.MinLandlockABI:
		return "min_landlock_abi"
	case p.NetworkAllowed() && limit.PortsLimited() && (!p.PortsLimited() ||
		portsWithin(p.portFields()[0], limit.TCPConnect) != nil || portsWithin(p.portFields()[1], limit.TCPBind) != nil):
		return "ports"
	case within("read_only_roots", p.ReadOnlyRoots, limit.readable()) != nil:
		return "read_only_roots"
	}
	return ""
}
