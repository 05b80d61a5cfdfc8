// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package sandbox

import "testing"

func TestHiddenDirsNote(t *testing.T) {
	dir := tree(t, map[string]string{"local/x/y": "", "alloc/data/y": "", "secrets/y": ""})
	env := map[string]string{"NOMAD_TASK_DIR": dir + "/local", "NOMAD_ALLOC_DIR": dir + "/alloc", "NOMAD_SECRETS_DIR": dir + "/secrets"}
	view := func(roots ...string) *view {
		var paths []string
		for _, root := range roots {
			paths = append(paths, dir+"/"+root)
		}
		v := viewOf(paths...)
		v.private, v.mounts = true, bindAll(paths, false)
		return v
	}
	if note := hiddenDirsNote(view(""), env); note != nil {
		t.Errorf("all is shown, and still: %q", note)
	}
	note := hiddenDirsNote(view("local"), env)
	if want := `the policy shows nothing of what NOMAD_ALLOC_DIR, NOMAD_SECRETS_DIR names: if the task uses it, add "alloc", "secrets" to workspace_roots`; len(note) != 1 || note[0] != want {
		t.Errorf("%q, want %q", note, want)
	}
	if note := hiddenDirsNote(view("local/x", "alloc/data", "secrets/y"), env); note != nil {
		t.Errorf("a part of each is shown, and still: %q", note)
	}
	if note := hiddenDirsNote(viewOf(dir), env); note != nil { // not private
		t.Errorf("without a root of its own: %q", note)
	}
}
