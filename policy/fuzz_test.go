// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"encoding/json"
	"path/filepath"
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
			first, firstErr := Build(p, lexical(p), base, node)
			second, secondErr := Build(again, lexical(again), base, node)
			if (firstErr == nil) != (secondErr == nil) || firstErr == nil && first.String() != second.String() {
				t.Fatalf("%s and %s are not the same at ABI %d:\n%v %v\n%v %v", data, encoded, abi, first, firstErr, second, secondErr)
			}
		}
	})
}

// A root that is accepted stays where it may be.
func FuzzRoots(f *testing.F) {
	for _, seed := range []string{"local", "/srv/models", "../x", "a/../..", "/srv/./x/..", "//srv", "/", "", "\x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, root string) {
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
	})
}
