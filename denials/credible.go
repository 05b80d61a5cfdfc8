// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package denials

import (
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/burin-labs/nomad-driver-harn/audit"
	"github.com/burin-labs/nomad-driver-harn/executor"
	"github.com/burin-labs/nomad-driver-harn/landlock"
	"github.com/burin-labs/nomad-driver-harn/seccomp"
)

// What the kernel logs of a task is true, but a task has ways to have it say what
// is not meant: paths are those that the process sees, which in a chroot or in a
// copy of a mount, made in a user namespace, are names of its own; and a filter that
// the task installs itself can have any system call logged as denied.

// credible are denials as far as the task can have been denied that by the driver.
// A path where the task's view has nothing is left out: what was denied there is
// known, but not where.
func (r *report) credible(denied []audit.Denial) []audit.Denial {
	var credible []audit.Denial
	for _, d := range denied {
		if d.Kind == audit.Syscall && r.Filter != nil && !filters(r.Filter, d.Rights) {
			continue
		}
		if d.Path != "" && r.Places != nil && !r.Places.show(d.Path) {
			d.Path = ""
		}
		credible = append(credible, d)
	}
	return credible
}

// filters reports whether a filter denies a system call, with any arguments. One
// without a name is unknown to the driver, or of a foreign architecture.
func filters(f *seccomp.Filter, names []string) bool {
	return slices.ContainsFunc(names, func(name string) bool {
		_, err := strconv.Atoi(strings.TrimPrefix(name, "syscall "))
		return err == nil || slices.ContainsFunc(f.Rules, func(rule seccomp.Rule) bool { return rule.Syscall == name })
	})
}

// Places are where there is anything in a task's view.
type Places struct {
	// Trees are shown with all that is beneath.
	Trees []string
	// Points are empty directories: nothing is beneath but other places.
	Points []string
}

// PlacesOf are those of a view; nil if its task sees all of the host.
func PlacesOf(w *executor.Isolation) *Places {
	if !w.PrivateRoot {
		return nil
	}
	p := &Places{}
	for i := range w.Mounts {
		m := &w.Mounts[i]
		switch {
		case m.Type == executor.Symlink: // the kernel names what it leads to
		case m.Type == executor.Dir, m.Type == executor.Tmpfs && m.ReadOnly:
			p.Points = append(p.Points, m.Target)
		case !slices.ContainsFunc(p.Trees, func(tree string) bool { return landlock.Beneath(tree, m.Target) }):
			p.Trees = append(p.Trees, m.Target)
		}
	}
	return p
}

// show reports whether there can be something at a path: beneath a tree, at a point,
// or at a directory on the way to one.
func (p *Places) show(path string) bool {
	if !filepath.IsAbs(path) {
		return false
	}
	path = filepath.Clean(path)
	return slices.ContainsFunc(p.Trees, func(tree string) bool { return landlock.Beneath(tree, path) || landlock.Beneath(path, tree) }) ||
		slices.ContainsFunc(p.Points, func(point string) bool { return landlock.Beneath(path, point) })
}
