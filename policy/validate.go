// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/burin-labs/nomad-driver-harn/internal/plain"
)

// Validate checks all that can be known without a file system: names, and the
// form of paths. The error names each wrong field with its value.
func (p *Policy) Validate() error {
	var problems []string
	problem := func(field string, err error) {
		if err != nil {
			problems = append(problems, field+": "+err.Error())
		}
	}
	if p.SandboxProfile != "" {
		_, err := ParseProfile(p.SandboxProfile)
		problem("sandbox_profile", err)
	}
	if p.SideEffectLevel != "" {
		_, err := ParseLevel(p.SideEffectLevel)
		problem("side_effect_level", err)
	}
	for _, field := range p.rootFields() {
		for i, root := range field.roots {
			problem(fmt.Sprintf("%s[%d]", field.name, i), validateRoot(root))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.Capabilities)) {
		for i, op := range p.Capabilities[name] {
			problem(fmt.Sprintf("capabilities.%s[%d]", plain.Name(name), i), validateOperation(name, op))
		}
		if name == "" {
			problem("capabilities", errors.New("a capability without a name"))
		} else if near := nearest(name, []string{Workspace}); near != "" && near != name {
			problem("capabilities", fmt.Errorf("unknown capability %q, did you mean %q?", name, near))
		}
	}
	problems = append(problems, p.validateExtensions()...)
	if len(problems) > 0 {
		return errors.New(strings.Join(problems, "; "))
	}
	return nil
}

type rootField struct {
	name  string
	roots []string
}

func (p *Policy) rootFields() []rootField {
	return []rootField{{"workspace_roots", p.WorkspaceRoots}, {"read_only_roots", p.ReadOnlyRoots}, {"unix_socket_roots", p.UnixSocketRoots}}
}

func validateRoot(root string) error {
	switch {
	case root == "":
		return errors.New("an empty path (a null element becomes one), expected a directory or a file")
	case strings.ContainsRune(root, 0):
		return fmt.Errorf("%q holds a NUL byte", root)
	case filepath.Clean(root) == "/":
		return fmt.Errorf("%q is the whole file system: name the directories that the task needs", root)
	case !filepath.IsAbs(root) && !filepath.IsLocal(root):
		return fmt.Errorf("%q leaves the task directory: a relative path must stay in it, write other places as absolute paths", root)
	}
	return nil
}

func validateOperation(capability, op string) error {
	if op == "" {
		return errors.New("an empty operation (a null element becomes one)")
	}
	if capability != Workspace {
		return nil // Harn's set of capabilities is open
	}
	if _, ok := workspaceOperations[op]; !ok {
		names := slices.Sorted(maps.Keys(workspaceOperations))
		return fmt.Errorf("unknown workspace operation %q%s", op, expected(op, names))
	}
	return nil
}
