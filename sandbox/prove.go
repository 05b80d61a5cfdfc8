// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package sandbox

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/burin-labs/nomad-driver-harn/executor"
	"github.com/burin-labs/nomad-driver-harn/landlock"
	"github.com/burin-labs/nomad-driver-harn/policy"
)

// prove checks that a list of mounts and a ruleset, as they go to the executor,
// admit nothing of the protected places beyond their rules. It shares nothing
// with what has composed them but their types: a mistake there refuses the task
// here. there reports whether something is at a path of the host.
func prove(mounts []executor.Mount, set *landlock.Ruleset, places []place, there func(path string) bool) error {
	for i := range places {
		p := &places[i]
		for j := range mounts {
			at, shows := showsAt(&mounts[j], p.real)
			if !shows || slices.ContainsFunc(p.own, func(own string) bool { return landlock.Beneath(own, mounts[j].Source) }) {
				continue
			}
			if err := proveAt(mounts, j, set, p, at, there); err != nil {
				return fmt.Errorf("%q, which is protected (%s), would be within the task's reach, so that the task is not started; this is a fault of the driver: %w", p.real, p.what, err)
			}
		}
	}
	return nil
}

// showsAt is where a mount of the host's files would show a path of the host.
func showsAt(m *executor.Mount, host string) (string, bool) {
	if m.Type != executor.Bind && m.Type != executor.Overlay {
		return "", false
	}
	source := strings.TrimSuffix(m.Source, "/")
	switch {
	case host == m.Source || strings.HasPrefix(m.Source, strings.TrimSuffix(host, "/")+"/"):
		return m.Target, true
	case strings.HasPrefix(host, source+"/"):
		return filepath.Join(m.Target, host[len(source):]), true
	}
	return "", false
}

// proveAt checks one place where it would show by the mount of that index.
func proveAt(mounts []executor.Mount, shows int, set *landlock.Ruleset, p *place, at string, there func(string) bool) error {
	// What is mounted later lies above.
	top := shows
	for k := shows + 1; k < len(mounts); k++ {
		if m := &mounts[k]; m.Target == at || strings.HasPrefix(at, strings.TrimSuffix(m.Target, "/")+"/") {
			if m.Optional && m.Type == executor.Mask && !there(p.real) {
				continue
			}
			top = k
		}
	}
	m := &mounts[top]
	covered := top != shows && (m.Type == executor.Mask || m.Type == executor.Tmpfs || m.Type == executor.Dir && showsNothing(mounts[shows+1:top], m.Target))
	hidden := top == shows && slices.ContainsFunc(m.Layers, func(l executor.Layer) bool {
		name := filepath.Join(m.Target, l.Path)
		return l.Kind == executor.LayerHide && (at == name || strings.HasPrefix(at, name+"/"))
	})
	switch {
	case p.rule == readOnly:
		if place, same := showsAt(m, p.real); top != shows && (!same || place != at) {
			return nil // something else is there
		}
		if !covered && !m.ReadOnly && there(p.real) {
			return fmt.Errorf("%q is writable in the view", at)
		}
		if !p.dynamic || set == nil {
			return nil // its directory is a mount, which nobody replaces
		}
		return proveRules(set, p, at, policy.ReadAccess|landlock.ResolveUnix)
	case hidden:
		return nil
	case top != shows && !covered && m.Source != m.Target:
		return nil // something else is there
	case !covered && there(p.real):
		return fmt.Errorf("nothing covers %q in the view", at)
	}
	if set == nil || !p.dynamic {
		return nil // nobody replaces what the mount covers
	}
	const names = landlock.ReadDir
	return proveRules(set, p, at, names)
}

// proveRules checks that no rule grants more than some rights on a place.
func proveRules(set *landlock.Ruleset, p *place, at string, admitted landlock.AccessFS) error {
	for _, rule := range set.Paths {
		own := slices.ContainsFunc(p.own, func(own string) bool { return landlock.Beneath(own, rule.Path) })
		if reaches := landlock.Beneath(rule.Path, at) || landlock.Beneath(at, rule.Path); reaches && !own && rule.Access&^admitted != 0 {
			return fmt.Errorf("the rule for %q grants %v on %q", rule.Path, rule.Access&policy.FullAccess, at)
		}
	}
	return nil
}

// showsNothing reports whether a directory that is made at a path is a new one:
// what it is made in is empty.
func showsNothing(between []executor.Mount, path string) bool {
	return slices.ContainsFunc(between, func(m executor.Mount) bool {
		return m.Type == executor.Tmpfs && strings.HasPrefix(path, strings.TrimSuffix(m.Target, "/")+"/")
	})
}
