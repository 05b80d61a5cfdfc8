// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/burin-labs/nomad-driver-harn/landlock"
)

// limit is what a list of a ceiling admits. That the list is absent is kept
// beside its values: so no operation on lists turns "nothing" into "anything".
type limit[T any] struct {
	absent bool // no limit
	values []T
}

func limitOf[T any](values []T) limit[T] { return limit[T]{absent: values == nil, values: values} }

// and is the limit that admits more values besides. Where there is no limit,
// they add nothing.
func (l limit[T]) and(more []T) limit[T] {
	return limit[T]{absent: l.absent, values: slices.Concat(l.values, more)}
}

// beyond are those of the wanted that no value covers.
func (l limit[T]) beyond(wanted []T, covers func(value, wanted T) bool) (beyond []T) {
	if l.absent {
		return nil
	}
	for _, w := range wanted {
		if !slices.ContainsFunc(l.values, func(v T) bool { return covers(v, w) }) {
			beyond = append(beyond, w)
		}
	}
	return beyond
}

// What a ceiling limits, by field.
func (p *Policy) writableLimit() limit[string] { return limitOf(p.WorkspaceRoots) }

func (p *Policy) readableLimit() limit[string] { return limitOf(p.ReadOnlyRoots).and(p.WorkspaceRoots) }
func (p *Policy) socketLimit() limit[string]   { return limitOf(p.UnixSocketRoots) }
func (p *Policy) deviceLimit() limit[string]   { return limitOf(p.Devices) }

// describeRoots lists what a limit on roots admits.
func describeRoots(l limit[string]) string {
	if len(l.values) == 0 {
		return "no place but the task's own directories"
	}
	return quoted(l.values)
}

// rootsWithin checks that each root is in one of the limit's, or in one of the
// task's own directories. Relative roots are the task's own.
func rootsWithin(field string, roots []string, l limit[string], own []string) error {
	foreign := slices.DeleteFunc(slices.Clone(roots), func(root string) bool { return !filepath.IsAbs(root) || inside(own, root) })
	beyond := l.beyond(foreign, landlock.Beneath)
	if len(beyond) == 0 {
		return nil
	}
	return fmt.Errorf("%s: %s exceed the operator's ceiling (%s): name places in it, or the task's own directories", field, quoted(beyond), describeRoots(l))
}

// devicesWithin checks devices. A ceiling's are patterns, as path/filepath's
// Match takes them.
func devicesWithin(devices []string, l limit[string]) error {
	beyond := l.beyond(devices, func(pattern, device string) bool {
		match, err := filepath.Match(pattern, device)
		return err == nil && match
	})
	if len(beyond) == 0 {
		return nil
	}
	admitted := "no device"
	if len(l.values) > 0 {
		admitted = quoted(l.values)
	}
	return fmt.Errorf("devices: %s exceed what the operator allows (plugin option devices: %s)", quoted(beyond), admitted)
}

// quoted is a list of names that others chose.
func quoted(names []string) string {
	out := make([]string, len(names))
	for i, name := range names {
		out[i] = strconv.Quote(name)
	}
	return strings.Join(out, ", ")
}
