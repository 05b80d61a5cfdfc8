// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/burin-labs/nomad-driver-harn/executor"
	"github.com/burin-labs/nomad-driver-harn/internal/kerneltest"
	"github.com/burin-labs/nomad-driver-harn/policy"
)

func TestAccountFiles(t *testing.T) {
	host := []byte("root:x:0:0:root:/root:/bin/bash\nalice:x:1000:1000:Alice:/home/alice:/bin/zsh\n")
	for _, tc := range []struct {
		name     string
		uid      uint32
		first    string
		withheld string
	}{
		{"nomad-80001", 80001, "nomad-80001:x:80001:80001::/t/local:/bin/sh", ""},
		{"alice", 1000, "alice:x:1000:1000:Alice:/t/local:/bin/zsh", "/home/alice"}, // HOME of the task, the rest of the host
		{"alice", 80001, "alice:x:80001:80001::/t/local:/bin/sh", "/home/alice"},    // another alice
	} {
		a := &account{identity: identity{Name: tc.name, User: executor.User{UID: tc.uid, GID: tc.uid}}}
		got := a.passwd(host, "/t/local")
		first, rest, _ := strings.Cut(got, "\n")
		if first != tc.first || !strings.HasPrefix(rest, "root:x:0:0:") || tc.withheld != "" && strings.Contains(got, tc.withheld) {
			t.Errorf("%s: %q", tc.name, got)
		}
	}
	a := &account{identity: identity{Name: "staff", User: executor.User{UID: 5, GID: 6}}}
	if got := a.group([]byte("staff:x:50:\n")); got != "gid-staff:x:6:\nstaff:x:50:\n" {
		t.Errorf("a name that is taken: %q", got)
	}
	if got := a.group([]byte("games:x:6:\n")); got != "games:x:6:\n" {
		t.Errorf("a group that the host names: %q", got)
	}
	for _, text := range []string{"", "a:b", "a\nroot2:x:0:0:::", "a\x00", "a\u0085b"} {
		if isField(text) {
			t.Errorf("%q can be a field", text)
		}
	}
	a.Name = "x\nevil:x:0:0:"
	if files := a.files("/tmp"); len(files) != 0 {
		t.Errorf("a name with a line: %q", files)
	}
}

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
	result, err := h.driver.ExecTask(cfg.ID, []string{"/bin/sh", "-c", "whoami; echo $HOME"}, 10e9)
	if err != nil || string(result.Stdout) != "nomad-80777\n"+seen+"/local\n" {
		t.Errorf("a session: %v, %v", result, err)
	}
	bindOver(t, passwdFile) // in the tests' own mount namespace
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
