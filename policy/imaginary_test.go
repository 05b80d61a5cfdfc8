// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package policy_test

import (
	"os"
	"strings"
	"testing"

	"github.com/burin-labs/nomad-driver-harn/cli/command"
	"github.com/burin-labs/nomad-driver-harn/landlock"
	"github.com/burin-labs/nomad-driver-harn/policy"
	"github.com/burin-labs/nomad-driver-harn/suggest"
)

// A new field is one row: JSON, checks, the ceiling, the real paths, the demand for an ABI, the
// command line and suggestions know it without more. A real one is a member of Policy besides, has
// its meaning in Build or in package sandbox, and make generate writes it into the document.
func TestAFieldIsOneRow(t *testing.T) {
	value := policy.ImaginaryField(t)
	for text, want := range map[string]string{
		`{"imaginary_roots": ["/srv/admitted/x"]}`: "",
		`{"imaginary_roots": "x"}`:                 "imaginary_roots:",
		`{"imaginary_rots": []}`:                   `did you mean "imaginary_roots"`,
		`{"imaginary_roots": ["../x"]}`:            "imaginary_roots[0]",
		`{"imaginary_roots": ["/srv/other"]}`:      `imaginary_roots: "/srv/other" exceed the operator's ceiling ("/srv/admitted")`,
	} {
		*value = nil
		p, _, err := policy.DecodeJSON([]byte(text))
		if err == nil {
			err = p.Validate()
		}
		if err == nil {
			_, err = policy.Intersect(&policy.Policy{}, p, nil)
		}
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	dir := t.TempDir()
	*value = []string{dir}
	roots, err := policy.Resolve(&policy.Policy{}, "/", nil)
	if err != nil || len(roots.ReadOnly) != 1 || roots.ReadOnly[0] != dir {
		t.Errorf("%+v, %v", roots, err)
	}
	if err := policy.CheckCeiling(&policy.Policy{}, roots, nil); err == nil || !strings.Contains(err.Error(), "imaginary_roots") {
		t.Errorf("the ceiling admits it: %v", err)
	}
	for abi, want := range map[landlock.ABI]bool{5: false, 6: true} {
		if _, err := policy.Build(&policy.Policy{}, roots, policy.Base{}, policy.Node{ABI: abi}); (err == nil) != want {
			t.Errorf("ABI %d: %v", abi, err)
		}
	}
	s := &suggest.Suggestion{Policy: &policy.Policy{}}
	if text, err := s.Verified(); err != nil || !strings.Contains(text, "  imaginary_roots = [\n    \""+dir+"\",\n  ]\n") {
		t.Errorf("%s, %v", text, err)
	}
	if text := command.All(&command.Streams{})["explain"].Help(); !strings.Contains(text, "-imaginary_roots PATH") {
		t.Errorf("%s", text)
	}
	if document, err := os.ReadFile("../docs/jobs.md"); err != nil || strings.Contains(string(document), "imaginary_roots") {
		t.Error("the document has an imaginary field")
	}
}
