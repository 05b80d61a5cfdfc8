// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package cli

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/burin-labs/nomad-driver-harn/cli/command"
)

// jobWith is a job file with lines in its group, its task and its config block.
func jobWith(t *testing.T, group, task, config string) string {
	t.Helper()
	return write(t, "x.nomad.hcl", "job \"j\" {\n group \"g\" {\n"+group+"\n task \"t\" {\n driver = \"harn\"\n"+task+
		"\n config {\n command = \"/bin/true\"\n"+config+"\n}\n}\n}\n}\n")
}

// What a start refuses of what stands beside the policy, explain refuses: the words are the
// start's, as the tests of packages driver and sandbox have them.
func TestExplainRefusesWhatAStartRefuses(t *testing.T) {
	const egress = "capability_policy {\n egress {\n allow = [\"a.example:443\"]\n }\n}"
	volume := func(more string) string { return "volume_mount {\n volume = \"v\"\n" + more + "\n}\n" }
	for name, tc := range map[string]struct{ group, task, config, want string }{
		"a bridge and egress":   {"network {\n mode = \"bridge\"\n}", "", egress, `leave egress out, or use network { mode = "host" }`},
		"dns and egress":        {"network {\n dns {\n servers = [\"192.0.2.1\"]\n }\n}", "", egress, "the group's dns block names name servers"},
		"a volume at /usr":      {"", volume(`destination = "/usr"`), "", "it would hide /usr, which every task needs"},
		"a volume at /proc":     {"", volume(`destination = "/proc/x"`), "", "the task's own version of the kernel's"},
		"two volumes":           {"", volume(`destination = "/a"`) + volume(`destination = "/a"`), "", "two volumes have it"},
		"a volume both ways":    {"", volume("destination = \"/a\"\n propagation_mode = \"bidirectional\""), "", "would let a task mount on the host"},
		"a task directory":      {"", "env {\n NOMAD_TASK_DIR = \"/srv\"\n}", "", "does the job's env block set it?"},
		"a relative one":        {"", "env {\n NOMAD_TASK_DIR = \"local\"\n}", "", `NOMAD_TASK_DIR is "local", expected an absolute path`},
		"nothing":               {"", "", egress, ""},
		"a bridge":              {"network {\n mode = \"bridge\"\n}", "", "", ""},
		"a volume":              {"", volume(`destination = "/data"`), "", ""},
		"Nomad's own directory": {"", "env {\n NOMAD_TASK_DIR = \"${NOMAD_TASK_DIR}\"\n}", "", ""},
	} {
		status, stdout, stderr := call("explain", "-job", jobWith(t, tc.group, tc.task, tc.config))
		if (status == 0) != (tc.want == "") || !strings.Contains(stderr, tc.want) || strings.Contains(stderr, "harn-explain-") {
			t.Errorf("%s: status %d, %s\n%s", name, status, stderr, stdout)
		}
	}
}

// What is there without being asked for is shown: limits, and what egress admits.
func TestExplainShowsDefaults(t *testing.T) {
	_, stdout, stderr := call("explain", "-job", jobWith(t, "", "", "capability_policy {\n egress {\n allow = [\"a.example:443\"]\n block_private = false\n }\n}"))
	wantTexts(t, "explain", stdout, []string{
		"memory: 300 MiB", "cpu: 100 MHz", "terminals: 64", "processes and threads: 4096", "/tmp: on the disk", "/dev/shm: in memory", "core: no core dumps",
		"allowed (block_private = false)",
	}, nil)
	if stderr != "" {
		t.Error(stderr)
	}
}

// What has no value before the task is placed refuses nothing, of whatever type the field is.
func TestExplainOfWhatANodeKnows(t *testing.T) {
	status, stdout, stderr := call("explain", "-job", jobWith(t, "", "", `pids_limit = "${meta.pids}"
capability_policy {
  side_effect_level = "network"
  min_landlock_abi  = "${attr.driver.harn.landlock.abi}"
  tcp_bind          = ["${NOMAD_PORT_free}", 80]
  tcp_connect       = ["${meta.port}"]
  egress {
    allow = ["example.com:${NOMAD_PORT_free}", "a.example:443", "${attr.unique.network.ip-address}:80"]
  }
}`))
	wantTexts(t, "explain", stdout, []string{"80 {bind_tcp}", "allow a.example:443", "${NOMAD_PORT_free}", "${meta.pids}", "${meta.port}", "${attr.unique.network.ip-address}", "${attr.driver.harn.landlock.abi}"}, nil)
	if status != 0 {
		t.Errorf("status %d: %s", status, stderr)
	}
}

// An agent's configuration is read as agents read it, and its directories are closed.
func TestAgentConfigurations(t *testing.T) {
	data := filepath.Dir(write(t, "x", ""))
	job := jobWith(t, "", "", "capability_policy {\n read_only_roots = [\""+data+"/x\"]\n}")
	for name, agent := range map[string]string{
		"agent.hcl": "servers = [\"192.0.2.1\"]\nclient {\n servers = [\"192.0.2.1\"]\n}\nclient {\n state_dir = \"/none\"\n}\nserver {\n server_join {\n retry_join = [\"a\"]\n }\n}\ndata_dir = \"DATA\"\n" +
			"plugin \"raw_exec\" {\n args = [\"x\"]\n config {\n enabled = true\n }\n}\nplugin \"NAME\" {\n args = [\"x\"]\n config {\n masked_paths = [\"/srv/masked\"]\n }\n}\n",
		"agent.json": `{"client": {"servers": ["192.0.2.1"]}, "data_dir": "DATA", "plugin": {"NAME": {"config": {"masked_paths": ["/srv/masked"]}}}}`,
	} {
		file := write(t, name, strings.NewReplacer("DATA", data, "NAME", command.Name).Replace(agent))
		status, stdout, stderr := call("explain", "-job", job, "-config", file)
		if status == 0 || !strings.Contains(stderr, "Nomad's data directory") {
			t.Errorf("%s: explain: status %d, %s\n%s", name, status, stderr, stdout)
		}
		_, _, stderr = call("suggest", "-config", file, "-log", write(t, "log", "cat: "+data+"/x: Permission denied\n"))
		if !strings.Contains(stderr, "Nomad agent's") {
			t.Errorf("%s: suggest: %s", name, stderr)
		}
	}
}

// What the policy denies is not to be added as a root: the advice would contradict it.
func TestDeniedProgramIsNoRootToAdd(t *testing.T) {
	for _, denied := range []string{"/usr", "/usr/bin", "/bin"} {
		status, stdout, _ := call("explain", "-job", jobWith(t, "", "", "capability_policy {\n read_deny_roots = [\""+denied+"\"]\n}"))
		_, missing, _ := strings.Cut(stdout, "Missing here")
		if status == 0 || !strings.Contains(missing, "read_deny_roots") || strings.Contains(missing, "add read_only_roots") {
			t.Errorf("%s: status %d, %s", denied, status, missing)
		}
	}
}
