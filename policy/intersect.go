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

// Intersect returns what the operator's ceiling leaves of a job's request: the
// stricter profile, the lower level, and the request's capabilities and roots,
// which must lie within the ceiling's. What is beyond is an error that names
// both sides, not something that is quietly taken away. Both must be valid.
//
// A side without capabilities, level or roots puts no limit on them. The
// task's own directories (relative roots) are always within the ceiling.
func Intersect(ceiling, request *Policy) (*Policy, error) {
	result := request.Clone()
	result.SandboxProfile = max(ceiling.Profile(), request.Profile()).String()
	if level, limited := ceiling.Level(); limited {
		if own, ok := request.Level(); !ok || level < own {
			result.SideEffectLevel = level.String()
		}
	}
	problems := []error{
		intersectCapabilities(ceiling, result),
		intersectExtensions(ceiling, result),
		within("workspace_roots", request.WorkspaceRoots, ceiling.WorkspaceRoots),
		within("read_only_roots", request.ReadOnlyRoots, ceiling.readable()),
	}
	if err := joinLine(problems); err != nil {
		return nil, err
	}
	return result, nil
}

func intersectCapabilities(ceiling, result *Policy) error {
	if ceiling.Capabilities == nil {
		return nil
	}
	if result.Capabilities == nil {
		result.Capabilities = ceiling.Clone().Capabilities
		return nil
	}
	var beyond []string
	for _, name := range slices.Sorted(maps.Keys(result.Capabilities)) {
		allowed, ok := ceiling.Capabilities[name]
		if !ok {
			beyond = append(beyond, name)
			continue
		}
		for _, op := range result.Capabilities[name] {
			if !slices.Contains(allowed, op) {
				beyond = append(beyond, name+"."+op)
			}
		}
	}
	if len(beyond) > 0 {
		return fmt.Errorf("capabilities: %s exceed the operator's ceiling (%s)",
			plain.Names(beyond), describeCapabilities(ceiling.Capabilities))
	}
	// A request that grants nothing means reading, which the ceiling may not grant.
	if more := result.WorkspaceAccess() &^ ceiling.WorkspaceAccess(); more != 0 {
		return fmt.Errorf("capabilities: the request grants nothing on the workspace, which means reading (%v); that exceeds the operator's ceiling (%s)",
			more, describeCapabilities(ceiling.Capabilities))
	}
	return nil
}

func describeCapabilities(capabilities map[string][]string) string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(capabilities)) {
		out = append(out, name+" = ["+strings.Join(capabilities[name], ", ")+"]")
	}
	if len(out) == 0 {
		return "no capability"
	}
	return strings.Join(out, ", ")
}

// readable are the roots that a ceiling lets jobs read, nil if all.
func (p *Policy) readable() []string {
	if p.ReadOnlyRoots == nil {
		return nil
	}
	return slices.Concat(p.ReadOnlyRoots, p.WorkspaceRoots)
}

// within checks that each absolute root equals a root of the ceiling, or lies
// beneath one. A ceiling of nil puts no limit, an empty one admits none.
func within(field string, roots, ceiling []string) error {
	if ceiling == nil {
		return nil
	}
	var beyond []string
	for _, root := range roots {
		if filepath.IsAbs(root) && !slices.ContainsFunc(ceiling, func(c string) bool { return Contains(c, root) }) {
			beyond = append(beyond, root)
		}
	}
	if len(beyond) == 0 {
		return nil
	}
	allowed := "no root but the task's own directories"
	if len(ceiling) > 0 {
		allowed = strings.Join(ceiling, ", ")
	}
	return fmt.Errorf("%s: %s exceed the operator's ceiling (%s)", field, plain.Names(beyond), allowed)
}

// Contains reports whether path is root or beneath it, by components:
// /srv/models-old is not in /srv/models.
func Contains(root, path string) bool {
	rel, err := filepath.Rel(root, path)
	return err == nil && filepath.IsLocal(rel)
}

func joinLine(errs []error) error {
	var out []string
	for _, err := range errs {
		if err != nil {
			out = append(out, err.Error())
		}
	}
	if len(out) == 0 {
		return nil
	}
	return errors.New(strings.Join(out, "; "))
}
