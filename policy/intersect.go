// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Intersect returns what the operator's ceiling leaves of a job's request: the
// stricter profile, the lower level, and the request's capabilities, roots,
// ports and devices, which must lie within the ceiling's. What is beyond is an
// error that names both sides, not something that is quietly taken away. Both
// must be valid.
//
// A field that a ceiling does not have puts no limit on the request; an empty
// list admits nothing. The task's own directories are within every ceiling:
// relative roots, and absolute ones in own, which are the names of these
// directories as far as they are known. Roots are compared by their names:
// [CheckCeiling] does it by what they are.
func Intersect(ceiling, request *Policy, own []string) (*Policy, error) {
	result := request.Clone()
	if ceiling.ProcessSandbox != nil && result.ProcessSandbox == nil {
		result.ProcessSandbox = &ProcessSandbox{}
	}
	ceiling.Each(func(f *Field) {
		if f.Role.takes() {
			*f.list(result) = union(*f.list(result), *f.list(ceiling))
		}
	})
	var problems []error
	result.Each(func(f *Field) {
		switch {
		case f.narrow != nil:
			problems = append(problems, f.narrow(ceiling, result))
		case f.Kind == Paths && f.limit != nil:
			problems = append(problems, rootsWithin(f.Name, *f.list(result), f.limit(ceiling), own))
		case f.Kind == Devices:
			problems = append(problems, devicesWithin(*f.list(result), f.limit(ceiling)))
		}
	})
	problems = append(problems, reconcile(ceiling, request, result))
	if ceiling.ProcessSandbox != nil {
		result.forgetEmptyProcess()
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
			operation, _, _ := strings.Cut(op, "@")
			if !slices.Contains(allowed, op) && !slices.Contains(allowed, operation) {
				beyond = append(beyond, name+"."+op)
			}
		}
	}
	if len(beyond) > 0 {
		return fmt.Errorf("capabilities: %s exceed the operator's ceiling (%s)",
			quoted(beyond), describeCapabilities(ceiling.Capabilities))
	}
	// A request that grants nothing means reading, which the ceiling may not grant.
	if more := capabilityAccess(result.Capabilities) &^ ceiling.WorkspaceAccess(); more != 0 {
		return fmt.Errorf("capabilities: the request grants nothing on the workspace, which means reading (%v), and that exceeds the operator's ceiling (%s)",
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
