// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/nomad/plugins/drivers"

	"github.com/burin-labs/nomad-driver-harn/sandbox"
)

// What was withheld at the start is withheld from sessions, whatever agent there
// is by then.
func TestWithheldIsStored(t *testing.T) {
	for _, withheld := range [][]string{{}, {"A", "B"}} {
		handle := drivers.NewTaskHandle(handleVersion)
		if err := handle.SetDriverState(&TaskState{Withheld: withheld}); err != nil {
			t.Fatal(err)
		}
		var state TaskState
		if err := handle.GetDriverState(&state); err != nil {
			t.Fatal(err)
		}
		if state.Withheld == nil || !slices.Equal(state.Withheld, withheld) {
			t.Errorf("%#v became %#v", withheld, state.Withheld)
		}
	}
	t.Setenv("HARN_OLD_SECRET", "of another agent")
	env := sandbox.Environment(map[string]string{"HARN_OLD_SECRET": "of an agent", "X": "1"}, []string{"HARN_OLD_SECRET"}, "u", "/task")
	if _, leaked := env["HARN_OLD_SECRET"]; leaked || env["X"] != "1" {
		t.Errorf("environment %v", env)
	}
}

// Each row of the documents' table of variables is what a task finds.
func TestDocumentedVariables(t *testing.T) {
	h := newHarness(t, nil)
	home := "the task directory, or `local` in it, where the policy lets the task write there; else `/tmp`"
	rows := map[string]string{
		"`HOME`": home, "`USER`, `LOGNAME`": "the task's user: `user` of the task, else a dynamic one, else `nobody`",
		"`TMPDIR`": "`/tmp`, which is the task's `tmp` directory",
		"`PATH`":   "the agent's, which Nomad hands down, else `/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`",
	}
	table, _, _ := strings.Cut(documented(t, "jobs.md", "## Environment"), "\n\nThe job's")
	if lines := strings.Count(table, "\n| `"); lines != len(rows) {
		t.Errorf("the table has %d rows, %d are known here", lines, len(rows))
	}
	for name, value := range rows {
		if !strings.Contains(table, "| "+name+" | "+value+" |") {
			t.Errorf("the table says something else of %s than %q", name, value)
		}
	}
	for _, tc := range []struct{ name, user, policy, home string }{
		{"default", "nomad-80779", "", "TASK"},
		{"local", "nomad-80779", "workspace_roots = [\"local\"]", "TASK/local"},
		{"elsewhere", "nomad-80779", "workspace_roots = [\"alloc/data\"]", "/tmp"},
		{"reading", "nomad-80779", "capabilities {\n workspace = [\"read_text\"]\n}", "/tmp"},
		{"nobody", "nobody", "", "TASK"},
	} {
		config, err := parseTask(t, "command = \"/bin/sh\"\nargs = [\"-c\", \"echo $HOME $USER $LOGNAME $TMPDIR $PATH; echo x > $TMPDIR/mark; pwd; cat tmp/mark; echo end\"]\ncapability_policy {\n"+tc.policy+"\n}")
		if err != nil {
			t.Fatal(err)
		}
		cfg := h.task(*config)
		if cfg.User = tc.user; tc.user == "nobody" {
			cfg.User = ""
		}
		delete(cfg.Env, "PATH")
		dir := filepath.Dir(cfg.Env["NOMAD_TASK_DIR"])
		for _, sub := range []string{"", "local", "tmp"} {
			if err := os.Chmod(filepath.Join(cfg.TaskDir().Dir, sub), 0o777); err != nil {
				t.Fatal(err)
			}
		}
		h.start(cfg)
		h.wait(cfg.ID)
		got := h.log(cfg, "stdout", "end")
		check(t, h.DestroyTask(cfg.ID, true))
		want := strings.ReplaceAll(tc.home, "TASK", dir) + " " + tc.user + " " + tc.user + " /tmp /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n" + dir + "\n"
		if !strings.HasPrefix(got, want) {
			t.Errorf("%s: %q, want %q", tc.name, got, want)
		}
	}
}
