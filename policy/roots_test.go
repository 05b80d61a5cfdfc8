// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"github.com/burin-labs/nomad-driver-harn/internal/kerneltest"
)

// fixture makes task directories and places outside of them.
func fixture(t *testing.T) (base, task string) {
	t.Helper()
	base, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	task = base + "/task"
	for _, dir := range []string{"/task/local/sub", "/task/secrets", "/task-other", "/outside/models"} {
		if err := os.MkdirAll(base+dir, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(base+"/outside/file", nil, 0o666); err != nil {
		t.Fatal(err)
	}
	for link, target := range map[string]string{
		"/task/inward":            "local/sub",
		"/task/outward":           "../outside",
		"/task/outward-abs":       base + "/outside/models",
		"/task/dangling":          "nowhere",
		"/task/loop":              "loop",
		"/outside/link":           "models",
		"/outside/to-root":        "/",
		"/outside/dangling":       "nowhere",
		"/outside/into-task":      base + "/task/local",
		"/outside/link-chain":     "link",
		"/outside/link-to-models": "models",
	} {
		if err := os.Symlink(target, base+link); err != nil {
			t.Fatal(err)
		}
	}
	return base, task
}

func TestResolve(t *testing.T) {
	kerneltest.Root(t) // symbolic links must be root's to be followed
	base, task := fixture(t)
	own := []string{task}
	for _, tc := range []struct {
		root   string
		want   string
		errors []string
	}{
		{"local", task + "/local", nil},
		{".", task, nil},
		{"local/sub/", task + "/local/sub", nil},
		{"inward", task + "/local/sub", nil},
		{"local/../inward", task + "/local/sub", nil},
		{task + "/local", task + "/local", nil},
		{base + "/outside/models", base + "/outside/models", nil},
		{base + "/outside/link", base + "/outside/models", nil},
		{base + "/outside/link-chain", base + "/outside/models", nil},
		{base + "/outside/file", base + "/outside/file", nil},
		{base + "/outside/into-task", task + "/local", nil},
		{base + "/task-other", base + "/task-other", nil},
		{"none", "", []string{`"none"`, task + "/none does not exist"}},
		{"~/.nvm", "", []string{`"~/.nvm"`, "~ is not expanded"}},
		{"/local/x", "", []string{`"/local/x"`, `the task directory is not / here: write "local"`}},
		{base + "/none/deeper", "", []string{base + "/none does not exist"}},
		{"dangling", "", []string{`"dangling"`, "symbolic link leads there"}},
		{base + "/outside/dangling", "", []string{"symbolic link leads there"}},
		{"loop", "", []string{"symbolic links"}},
		{"outward", "", []string{"leaves the task directory by a symbolic link", base + "/outside"}},
		{"outward-abs", "", []string{"leaves the task directory by a symbolic link"}},
		{task + "/outward", "", []string{"leaves the task directory by a symbolic link"}},
		{base + "/outside/to-root", "", []string{"whole file system"}},
		{base + "/outside/file/x", "", []string{"not a directory"}},
		{"/proc/self", "", []string{"private /proc"}},
		{"/dev", "", []string{"device nodes"}},
		{"/tmp", "", []string{"private one"}},
	} {
		got, err := Resolve(&Policy{ReadOnlyRoots: []string{tc.root}}, task, own)
		checkError(t, tc.root, err, tc.errors)
		got.Links = nil
		got.Written = nil // see below
		want := Roots{Workspace: own, ReadOnly: []string{tc.want}}
		if tc.want == task {
			want.Workspace = []string{} // it is read-only
		}
		if err == nil && !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, want %s", tc.root, got, tc.want)
		}
	}
	got, err := Resolve(&Policy{ReadOnlyRoots: []string{base + "/outside/link-chain"}}, task, own)
	if want := []Link{{base + "/outside/link-chain", "link"}, {base + "/outside/link", "models"}}; err != nil || !reflect.DeepEqual(got.Links, want) {
		t.Errorf("links %v, %v, want %v", got.Links, err, want)
	}
	_, err = Resolve(&Policy{WorkspaceRoots: []string{"local", "none"}, ReadOnlyRoots: []string{"outward"}}, task, own)
	checkError(t, "two problems", err, []string{"workspace_roots[1]", "read_only_roots[0]"})
	_, err = Resolve(&Policy{WorkspaceRoots: []string{"local/sub"}, ReadOnlyRoots: []string{"inward"}}, task, own)
	checkError(t, "contradiction", err, []string{"both in workspace_roots and in read_only_roots"})
}

// A path is to be written, or to be read only: not both. What the policy itself names to be
// read only stays so, whatever a preset or the default grants.
func TestOneOfReadOnlyAndWorkspace(t *testing.T) {
	kerneltest.Root(t)
	base, task := fixture(t)
	own := []string{task}
	models := base + "/outside/models"
	readOnly := func(paths ...string) Policy { return Policy{ReadOnlyRoots: paths} }
	process := func(p Policy, read, write []string) *Policy {
		p.ProcessSandbox = &ProcessSandbox{ReadRoots: read, WriteRoots: write}
		return &p
	}
	_, err := Resolve(process(readOnly(models), nil, []string{base + "/outside/link"}), task, own)
	checkError(t, "write_roots", err, []string{models, "both in process_sandbox.write_roots and in read_only_roots"})
	reader := readOnly(models)
	reader.Capabilities = map[string][]string{Workspace: {"read_text"}}
	_, err = Resolve(process(reader, nil, []string{models}), task, own)
	checkError(t, "write_roots of who may not write", err, nil)
	for _, tc := range []struct {
		name                string
		policy              *Policy
		read, write         []string // of presets
		workspace, readOnly []string
	}{
		{"the default", process(readOnly("."), nil, nil), nil, nil, nil, own},
		{"a preset", process(readOnly(models), nil, nil), nil, []string{models}, own, []string{models}},
		{"a preset above", process(readOnly(models), nil, nil), nil, []string{base + "/outside"}, []string{task, base + "/outside"}, []string{models}},
		{"read_roots, and a preset that writes", process(Policy{}, []string{models}, nil), nil, []string{models}, []string{task, models}, nil},
		{"read_roots in what a preset writes", process(Policy{}, []string{models}, nil), nil, []string{base + "/outside"}, []string{task, base + "/outside"}, nil},
		{"two presets", process(Policy{}, nil, nil), []string{models}, []string{models}, []string{task, models}, nil},
	} {
		for _, writeFirst := range []bool{false, true} {
			roots, err := Resolve(tc.policy, task, own)
			if err != nil {
				t.Errorf("%s: %v", tc.name, err)
				continue
			}
			if writeFirst {
				roots.AddPreset("w", WorkspaceRole, tc.write)
			}
			roots.AddPreset("r", ReadRole, tc.read)
			if !writeFirst {
				roots.AddPreset("w", WorkspaceRole, tc.write)
			}
			if !slices.Equal(roots.Workspace, tc.workspace) || !slices.Equal(roots.ReadOnly, tc.readOnly) {
				t.Errorf("%s: workspace %q, read-only %q, want %q, %q", tc.name, roots.Workspace, roots.ReadOnly, tc.workspace, tc.readOnly)
			}
		}
	}
}

// A task that may write somewhere could make a link there, and name the link
// as a root of its next start.
func TestLinksOfOthersAreNotFollowed(t *testing.T) {
	kerneltest.Root(t)
	base, task := fixture(t)
	if err := os.Lchown(base+"/outside/link", 65534, 65534); err != nil {
		t.Fatal(err)
	}
	if err := os.Lchown(task+"/inward", 65534, 65534); err != nil {
		t.Fatal(err)
	}
	_, err := Resolve(&Policy{ReadOnlyRoots: []string{base + "/outside/link"}}, task, []string{task})
	checkError(t, "outside", err, []string{base + "/outside/link", "belongs to user 65534"})
	// Nor is a link of root's that others can have moved to where it is: they can write to
	// the directory, or to one above.
	check := func(name string, path string, errors ...string) {
		t.Helper()
		_, err := Resolve(&Policy{ReadOnlyRoots: []string{path}}, task, []string{task})
		checkError(t, name, err, errors)
	}
	set := func(path string, mode os.FileMode, owner int) {
		t.Helper()
		if err := errors.Join(os.Chmod(path, mode), os.Lchown(path, owner, 0)); err != nil {
			t.Fatal(err)
		}
	}
	outside := base + "/outside"
	if err := os.Symlink("../models", outside+"/models/up"); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name   string
		mode   os.FileMode
		owner  int
		refuse bool
	}{
		{"root's", 0o755, 0, false},
		{"of another user", 0o755, 65534, true},
		{"for everybody", 0o777, 0, true},
		{"for a group", 0o775, 0, true},
		{"for everybody, sticky", 0o777 | os.ModeSticky, 0, false},
		{"of another user, sticky", 0o777 | os.ModeSticky, 65534, true},
	} {
		var want []string
		if tc.refuse {
			want = []string{outside, "where others than root can rename it"}
		}
		set(outside, tc.mode, tc.owner)
		check("in a directory: "+tc.name, outside+"/link-to-models", want...)
		check("below a directory: "+tc.name, outside+"/models/up", want...)
		check("without a link: "+tc.name, outside+"/models")
		if place, _, err := FollowAnywhere(outside + "/link-to-models"); err != nil || place != outside+"/models" {
			t.Errorf("what is to be closed: %s, %v", place, err)
		}
	}
	set(outside, 0o755, 0)
	// In the task's own directories a link may be anybody's: where it leads is checked.
	_, err = Resolve(&Policy{ReadOnlyRoots: []string{"inward"}}, task, []string{task})
	checkError(t, "inside", err, nil)
}

func TestCheckCeiling(t *testing.T) {
	kerneltest.Root(t)
	base, task := fixture(t)
	own := []string{task}
	ceiling := &Policy{ReadOnlyRoots: []string{base + "/outside/link"}, WorkspaceRoots: []string{}}
	for _, tc := range []struct {
		name   string
		roots  Roots
		errors []string
	}{
		{"own", Roots{Workspace: own}, nil},
		{"through the ceiling's link", Roots{Workspace: own, ReadOnly: []string{base + "/outside/models"}}, nil},
		{"beside it", Roots{Workspace: own, ReadOnly: []string{base + "/outside"}}, []string{"read_only_roots", base + "/outside\" exceed"}},
		{"writing", Roots{Workspace: []string{base + "/outside/models"}}, []string{"workspace_roots"}},
	} {
		checkError(t, tc.name, CheckCeiling(ceiling, tc.roots, own), tc.errors)
	}
	checkError(t, "no limit", CheckCeiling(&Policy{}, Roots{Workspace: []string{"/srv"}}, own), nil)
}
