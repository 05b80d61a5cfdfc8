// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/burin-labs/nomad-driver-harn/executor"
	"github.com/burin-labs/nomad-driver-harn/landlock"
	"github.com/burin-labs/nomad-driver-harn/policy"
)

// view is the file system as a task sees it: mounts, parents before what lies
// in them, and Landlock's rules, nil for a task without.
type view struct {
	mounts  []executor.Mount
	ruleset *landlock.Ruleset
}

// makeView lists the mounts of a task. workspace are the policy's rights on
// workspace roots.
func makeView(dirs *taskDirs, roots policy.Roots, workspace landlock.AccessFS, ruleset *landlock.Ruleset) (*view, error) {
	logs := filepath.Join(dirs.Task, "alloc", "logs")
	mounts := []executor.Mount{
		{Type: executor.Proc, Target: "/proc"},
		{Type: executor.Bind, Source: filepath.Join(dirs.Task, "tmp"), Target: privateTmp},
		{Type: executor.Tmpfs, Target: privateShm, Optional: true},
		// Other allocations, and other paths to this one.
		{Type: executor.Mask, Target: dirs.Clients, Optional: true},
		// Nomad's logmon, which is root, rotates files here by name: nobody else
		// may rename or replace them.
		{Type: executor.Bind, Source: logs, Target: logs, ReadOnly: true, Optional: true},
	}
	for _, root := range roots.ReadOnly {
		m := shown(root)
		m.ReadOnly = true
		mounts = append(mounts, m)
	}
	for _, root := range roots.Workspace {
		mounts = append(mounts, shown(root))
	}
	slices.SortStableFunc(mounts, func(a, b executor.Mount) int { return strings.Compare(a.Target, b.Target) })

	v := &view{ruleset: ruleset}
	for _, m := range mounts {
		if m == shown(m.Target) {
			above := v.nearest(m.Target)
			if above == nil || *above == shown(above.Target) {
				continue // it is bare, or shows already
			}
			if ruleset != nil && (above.Target == privateTmp || above.Target == privateShm) {
				if err := confineByMount(&m, workspace); err != nil {
					return nil, err
				}
			}
		}
		v.mounts = append(v.mounts, m)
	}
	return v, nil
}

// shown is the mount that lets a path show through what is mounted above it.
func shown(path string) executor.Mount {
	return executor.Mount{Type: executor.Bind, Source: path, Target: path, Create: true}
}

// confineByMount gives a workspace root under a private directory its rights.
// Landlock grants what any directory above grants, and a private directory
// grants everything: so a root with fewer rights needs a mount that has not
// more. (Where the agent's data is in /tmp, as with agent -dev, all roots are
// such roots.)
func confineByMount(m *executor.Mount, access landlock.AccessFS) error {
	switch access {
	case policy.FullAccess:
		return nil
	case policy.ReadAccess:
		m.ReadOnly = true
		return nil
	}
	return fmt.Errorf("the workspace root %s lies under a directory of which the task has a private, writable version: there it can be read-only, or readable and writable, but not %v: set the Nomad client's alloc_dir and alloc_mounts_dir to places outside of /tmp", m.Target, access)
}

// nearest is the last mount at or above a path, nil if there is none.
func (v *view) nearest(path string) *executor.Mount {
	for i := range slices.Backward(v.mounts) {
		if beneath(v.mounts[i].Target, path) {
			return &v.mounts[i]
		}
	}
	return nil
}

// admits reports whether a file of the host shows at its own path, and the
// task has the access to it.
func (v *view) admits(path string, access landlock.AccessFS) bool {
	if m := v.nearest(path); m != nil && m.Source != m.Target {
		return false
	}
	return v.ruleset == nil || v.ruleset.Admits(path, access)
}
