// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package sandbox

import (
	"fmt"
	"slices"
	"strings"

	"github.com/burin-labs/nomad-driver-harn/landlock"
	"github.com/burin-labs/nomad-driver-harn/policy"
)

// nomadDirs are the variables in which Nomad names a task's directories, and how
// a policy names these.
var nomadDirs = [][2]string{{"NOMAD_TASK_DIR", "local"}, {"NOMAD_ALLOC_DIR", "alloc"}, {"NOMAD_SECRETS_DIR", "secrets"}}

// hiddenDirsNote names the variables of Nomad whose directories the policy does
// not show, for the task's event. The variables stay: a program that asks for
// one is better told of a directory that is not there than led to another
// place by an empty name.
func hiddenDirsNote(v *view, env map[string]string) []string {
	var variables, roots []string
	for _, dir := range nomadDirs {
		path, err := policy.RealPath(env[dir[0]])
		if env[dir[0]] == "" || err != nil || v.showsOf(path) {
			continue
		}
		variables = append(variables, dir[0])
		roots = append(roots, fmt.Sprintf("%q", dir[1]))
	}
	if variables == nil {
		return nil
	}
	return []string{fmt.Sprintf("the policy shows nothing of what %s names: if the task uses it, add %s to workspace_roots",
		strings.Join(variables, ", "), strings.Join(roots, ", "))}
}

// showsOf reports whether the task can list a directory, or see anything in it.
func (v *view) showsOf(dir string) bool {
	host, visible := v.hostPath(dir)
	return visible && exists(host) && v.admits(dir, landlock.ReadDir) ||
		v.private && slices.ContainsFunc(v.mounts, func(m placed) bool { return !m.guard && landlock.Beneath(dir, m.Target) })
}
