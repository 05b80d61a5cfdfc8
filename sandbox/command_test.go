// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package sandbox

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/burin-labs/nomad-driver-harn/landlock"
)

// commandDir makes a task directory with programs.
func commandDir(t *testing.T) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, sub := range []string{"local", "bin", "elsewhere"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, mode := range map[string]os.FileMode{
		"local/agent": 0o755, "top": 0o755, "local/data": 0o644, "bin/tool": 0o755, "elsewhere/tool2": 0o755, "bin/agent": 0o755,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("../elsewhere/tool2", filepath.Join(dir, "bin/link")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// viewOf is a view of the host in which the task can execute what the system has
// and what lies in roots.
func viewOf(roots ...string) *view {
	const all = landlock.Execute | landlock.ReadFile | landlock.ReadDir
	r := &landlock.Ruleset{HandledFS: all}
	for _, root := range append(realPaths(defaultSystemReadRoots), roots...) {
		r.Paths = append(r.Paths, landlock.PathRule{Path: root, Access: all})
	}
	return &view{ruleset: r}
}

func TestFindCommand(t *testing.T) {
	dir := commandDir(t)
	v := viewOf(dir+"/local", dir+"/bin", dir+"/top")
	path := "relative:" + dir + "/elsewhere:" + dir + "/bin"
	f := &finder{view: v, taskDir: dir, path: path}
	for command, want := range map[string]string{
		"agent":           "/local/agent", // local/ comes before PATH
		"top":             "/top",
		"tool":            "/bin/tool",
		"local/agent":     "/local/agent",
		"./local/agent":   "/local/agent",
		dir + "/bin/tool": "/bin/tool",
	} {
		if got, err := f.find(command); err != nil || got != dir+want {
			t.Errorf("%s: %s, %v, want %s", command, got, err, dir+want)
		}
	}
	for command, want := range map[string][]string{
		"none":                   {`"none" was not found`, "PATH", path},
		"local/none":             {`"local/none"`, "was not found"},
		"/none":                  {`"/none"`, "was not found"},
		"local":                  {`"local"`, "not a file"},
		"local/data":             {`"local/data"`, "not executable", "chmod"},
		"../x":                   {`"../x"`, "leaves the task directory"},
		dir + "/elsewhere/tool2": {"outside of every root", `read_only_roots = ["` + dir + `/elsewhere"]`},
		"tool2":                  {"outside of every root", dir + "/elsewhere"},
		"link":                   {"outside of every root", dir + "/elsewhere"}, // where it really is
	} {
		_, err := f.find(command)
		wantError(t, command, err, want...)
	}
	// Unconfined, there is no outside.
	if got, err := (&finder{view: &view{}, taskDir: dir, path: path}).find("tool2"); err != nil || got != dir+"/elsewhere/tool2" {
		t.Errorf("unconfined: %s, %v", got, err)
	}
}
