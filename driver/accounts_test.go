// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/burin-labs/nomad-driver-harn/executor"
	"github.com/burin-labs/nomad-driver-harn/internal/kerneltest"
	"github.com/burin-labs/nomad-driver-harn/policy"
)

// The kernel and libc say who a task is, whatever becomes of the host's file.
func TestUsersHaveNames(t *testing.T) {
	h := newHarness(t, nil)
	if err := executor.OverlayWorks("/etc"); err != nil {
		t.Skip(err)
	}
	cfg := h.task(TaskConfig{
		Command: "/bin/bash",
		Args: []string{"-c", `echo "name=$(whoami) group=$(id -gn) home=$(getent passwd $(id -u) | cut -d: -f6) HOME=$HOME $(touch ~/probe && echo writable)"
			while [ ! -e local/go ]; do sleep 0.02; done; echo "later=$(whoami)"`},
		Policy: &policy.Policy{WorkspaceRoots: []string{"local"}, SideEffectLevel: "process_exec"},
	})
	cfg.User = "nomad-80777"
	local := filepath.Join(cfg.TaskDir().Dir, "local")
	if err := os.Chmod(local, 0o777); err != nil {
		t.Fatal(err)
	}
	h.start(cfg)
	seen := filepath.Dir(cfg.Env["NOMAD_TASK_DIR"])
	h.log(cfg, "stdout", "name=nomad-80777 group=nomad-80777 home="+seen+"/local HOME="+seen+"/local writable\n")
	result, err := h.driver.ExecTask(cfg.ID, []string{"/bin/sh", "-c", "whoami; echo $HOME; id > /dev/null; groups | tr ' ' '\\n' | grep session"}, 10e9)
	if err != nil || string(result.Stdout) != "nomad-80777\n"+seen+"/local\nharn-session\n" || len(result.Stderr) > 0 {
		t.Errorf("a session: %v, %v", result, err)
	}
	bindOver(t, "/etc/passwd") // in the tests' own mount namespace
	if err := os.WriteFile(local+"/go", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	h.log(cfg, "stdout", "later=nomad-80777\n")
}

// bindOver shows a copy of a file in its place, until the end of the test.
func bindOver(t *testing.T, path string) string {
	t.Helper()
	kerneltest.Root(t)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, text, 0o644); err != nil {
		t.Fatal(err)
	}
	mountOver(t, file, path)
	return file
}
