// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"github.com/burin-labs/nomad-driver-harn/cli/command"
)

// What suggest leaves out, it says, and the exit status does, too.
func TestSuggestSaysWhatItLeavesOut(t *testing.T) {
	line := func(path string, rights ...string) string {
		data, err := json.Marshal(map[string]any{"kind": "fs", "rights": rights, "path": path, "comm": "x\n\x1b[31m", "count": 1, "task": "t", "task_dir": "/mnt/nomad/alloc_mounts/a-t"})
		if err != nil {
			t.Fatal(err)
		}
		return string(data) + "\n"
	}
	agent := write(t, "agent.hcl", "data_dir = \"/mnt/data\"\nclient {\n  alloc_dir = \"/mnt/allocs\"\n  alloc_mounts_dir = \"/mnt/mounts\"\n}\n"+
		"plugin \""+command.Name+"\" {\n  config {\n    state_dir = \"/mnt/records\"\n    masked_paths = [\"/srv/masked\"]\n  }\n}\n")
	log := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(log, []byte("cat: /etc/shadow: Permission denied\n\x1b]0;title\x07cat: "+agent+": No such file or directory\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name        string
		args        []string
		denials     string
		status      int
		stdout      string // "" if there is none
		stderr, not []string
	}{
		{"nothing", nil, "", 0, "", []string{"Nothing was denied"}, nil},
		{"good", nil, line("/srv/ok", "fs.read_file"), 0, "/srv/ok", nil, []string{"Not suggested"}},
		{"a path that is nothing", nil, line("//", "fs.read_file") + line("/.", "fs.read_file"), 1, "", []string{"Not suggested for fs.read_file /", "admit everything"}, nil},
		{"a path that is nothing, and one", nil, line("//", "fs.read_file") + line("/srv/ok", "fs.read_file"), 1, "/srv/ok", []string{"admit everything"}, nil},
		{"control characters", nil, line("/srv/\x01\u009b\u202e\n", "fs.read_file"), 0, `"/srv/\u0001\u009b\u202e\n"`, nil, []string{"Not suggested"}},
		{"a forged right", nil, line("/srv/ok", "fs.read_file\n  sandbox_profile = \"unrestricted\""), 1, "", []string{`Not suggested for "fs.read_file\n`}, nil},
		{"a secret", nil, line("/root/.ssh/id_rsa", "fs.read_file"), 1, "", []string{"Not suggested for fs.read_file /root/.ssh/id_rsa", "credentials (.ssh of a home)"}, nil},
		{"an operator's mask", []string{"-config", agent}, line("/srv/masked/x", "fs.read_file"), 1, "", []string{"closed to every task"}, nil},
		{"the driver's records", []string{"-config", agent}, line("/mnt/records/x", "fs.read_file"), 1, "", []string{"closed to every task"}, nil},
		{"the agent's data", []string{"-config", agent}, line("/mnt/data/x", "fs.read_file") + line("/mnt/allocs/x", "fs.read_file") + line("/mnt/mounts/x", "fs.read_file"), 1, "", []string{"directory of the Nomad agent's"}, nil},
		{"the agent's configuration", []string{"-config", agent}, line(agent, "fs.read_file"), 1, "", []string{"directory of the Nomad agent's"}, nil},
		{"another task's", nil, line("/mnt/nomad/alloc_mounts/b-t/secrets", "fs.read_file"), 1, "", []string{"a task gets its own only"}, nil},
		{"a log", []string{"-log", log}, line("/srv/ok", "fs.read_file"), 1, agent, []string{"Not suggested for fs.read_file /etc/shadow"}, nil},
		{"a list that is cut", nil, line("/srv/ok", "fs.read_file") + `{"truncated": true, "task": "t"}` + "\n", 1, "/srv/ok", []string{"not complete"}, nil},
	} {
		file := write(t, "denials", tc.denials)
		status, stdout, stderr := call(append(append([]string{"suggest"}, tc.args...), file)...)
		if status != tc.status || (stdout == "") != (tc.stdout == "") {
			t.Errorf("%s: status %d, expected %d\n%s%s", tc.name, status, tc.status, stdout, stderr)
		}
		wantTexts(t, tc.name, stdout, []string{tc.stdout}, []string{"unrestricted"})
		wantTexts(t, tc.name, stderr, tc.stderr, tc.not)
		if strings.ContainsFunc(stdout+stderr, func(r rune) bool { return r != '\n' && unicode.In(r, unicode.C) }) {
			t.Errorf("%s: %q %q", tc.name, stdout, stderr)
		}
	}
}

// Names on the command line, in files and on the host are harmless in what is said.
func TestErrorsArePlain(t *testing.T) {
	const odd = "/none/\x1b[31m\u202e\u009b"
	bad := write(t, "bad.json", `{"side_effect_level": "x\u001b[31m\u202e"}`)
	for _, args := range [][]string{
		{"explain", "-job", odd},
		{"explain", "-policy", odd},
		{"explain", "-policy", bad},
		{"explain", "-read_only_roots", odd},
		{"explain", "-workspace_roots", odd},
		{"suggest", odd},
		{"suggest", "-job", odd, odd},
		{"suggest", "-config", odd, bad},
		{"suggest", bad},
		{"suggest", "-log", odd},
		{odd},
		{"run", "-policy", odd, "--", "true"},
		{"run", "-env", odd, "-policy", bad, "--", "true"},
		{"explain", "-" + odd},
	} {
		_, stdout, stderr := call(args...)
		if stdout+stderr == "" || strings.ContainsFunc(stdout+stderr, func(r rune) bool { return r != '\n' && unicode.In(r, unicode.C) }) {
			t.Errorf("%q: %q %q", args, stdout, stderr)
		}
	}
}

// A variable of the job's that only a node knows is one in what is printed.
func TestSuggestKeepsVariables(t *testing.T) {
	job := write(t, "x.nomad.hcl", `job "j" { 
  group "g" { 
    task "t" {
      driver = "harn"
      config {
        command = "x"
        capability_policy {
          side_effect_level = "none"
          read_only_roots   = ["/srv/${meta.place}", "${NOMAD_TASK_DIR}/x"]
        }
      }
    }
  }
}`)
	log := write(t, "log", "bash: socket: Operation not permitted\n")
	status, stdout, stderr := call("suggest", "-job", job, "-log", log)
	if status != 0 || stderr != "" {
		t.Errorf("%d %s", status, stderr)
	}
	wantTexts(t, "suggest", stdout, []string{`"/srv/${meta.place}"`, `"local/x"`, `side_effect_level = "network"`}, []string{"$$"})
}

// Where a job's policy has an expression of HCL's, only what to add is printed: a block with
// its value would be another job.
func TestSuggestAddsToExpressions(t *testing.T) {
	log := write(t, "log", "bash: socket: Operation not permitted\ncat: "+write(t, "data", "")+": No such file or directory\n")
	job := func(head, policy string) string {
		return write(t, "x.nomad.hcl", head+"job \"j\" {\n group \"g\" {\n task \"other\" {\n driver = \"raw_exec\"\n config {\n command = var.x\n }\n }\n task \"t\" {\n driver = \"harn\"\n config {\n command = var.x\n"+policy+"\n}\n}\n}\n}\n")
	}
	const head = "variable \"x\" {\n default = \"true\"\n}\nlocals {\n roots = [\"/opt\"]\n}\n"
	for policy, expression := range map[string]string{
		`read_only_roots = local.roots`:                          "local.roots",
		`read_only_roots = ["/usr/${var.x}"]`:                    "var.x",
		`read_only_roots = concat(local.roots, ["/srv"])`:        "concat(local.roots",
		`read_only_roots = [local.roots[0]]`:                     "local.roots[0]",
		`read_only_roots = ["/opt/${NOMAD_JOB_NAME}"]`:           "NOMAD_JOB_NAME",
		`read_only_roots = [for r in local.roots : r]`:           "for r in",
		`local_ipc = var.x == "true"`:                            `var.x == "true"`,
		`read_only_roots = ["/opt", "${NOMAD_TASK_DIR}/x"]`:      "",
		`read_only_roots = ["/srv/${meta.place}", "/opt"]`:       "",
		"capabilities = { workspace = [\"read_text\"] }":         "",
		"min_landlock_abi = 1\ncapabilities {\nfoo = [\"x\"]\n}": "",
	} {
		status, stdout, stderr := call("suggest", "-job", job(head, "capability_policy {\n side_effect_level = \"none\"\n"+policy+"\n}"), "-log", log)
		if status != 0 || strings.Contains(stdout, "capability_policy {") != (expression == "") || !strings.Contains(stdout, `side_effect_level = "network"`) || !strings.Contains(stdout, filepath.Dir(log)[:4]) {
			t.Errorf("%s: status %d\n%s%s", policy, status, stdout, stderr)
		}
		if expression != "" && (!strings.Contains(stderr, expression) || strings.Contains(stdout, "/opt") || strings.Contains(stdout, "none")) {
			t.Errorf("%s: %s%s", policy, stdout, stderr)
		}
	}
}
