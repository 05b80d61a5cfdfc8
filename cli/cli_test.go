// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/burin-labs/nomad-driver-harn/cli/command"
	"github.com/burin-labs/nomad-driver-harn/internal/kerneltest"
)

func call(args ...string) (status int, stdout, stderr string) {
	var out, errs bytes.Buffer
	status = run(args, &command.Streams{Stdout: &out, Stderr: &errs})
	return status, out.String(), errs.String()
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// wantTexts checks what is in an output, and what is not.
func wantTexts(t *testing.T, name, output string, has, not []string) {
	t.Helper()
	for _, text := range has {
		if !strings.Contains(output, text) {
			t.Errorf("%s: no %q in\n%s", name, text, output)
		}
	}
	for _, text := range not {
		if strings.Contains(output, text) {
			t.Errorf("%s: %q in\n%s", name, text, output)
		}
	}
}

func TestCommandLine(t *testing.T) {
	for _, tc := range []struct {
		args           []string
		status         int
		stdout, stderr string
	}{
		{[]string{}, 127, "", "explain"},
		{[]string{"-h"}, 0, "explain", ""},
		{[]string{"explian"}, 127, "", `unknown command "explian", expected one of explain, probe, run, suggest, version`},
		{[]string{"version"}, 0, command.Name + " v", ""},
		{[]string{"explain", "-h"}, 0, "EXIT STATUS", ""},
		{[]string{"explain"}, 2, "", "give -job FILE, or -policy FILE"},
		{[]string{"explain", "-x"}, 2, "", "flag provided but not defined: -x"},
		{[]string{"explain", "-policy", "/nowhere"}, 1, "", "/nowhere: no such file"},
		{[]string{"probe", "x"}, 3, "", `unexpected argument "x"`},
	} {
		status, stdout, stderr := call(tc.args...)
		if status != tc.status || !strings.Contains(stdout, tc.stdout) || !strings.Contains(stderr, tc.stderr) {
			t.Errorf("%q: %d\nstdout: %s\nstderr: %s", tc.args, status, stdout, stderr)
		}
	}
}

// What is shown of a policy is what it admits, and nothing that it does not.
func TestExplain(t *testing.T) {
	kerneltest.Landlock(t, 1)
	dir := t.TempDir()
	for name, tc := range map[string]struct {
		policy   string
		args     []string
		has, not []string
	}{
		"default": {`{}`, nil, []string{"worktree, Landlock ABI 7", "rwx  /TASK", "Network\n  allowed", "families:"}, []string{"hardened:", "Missing", "UNIX sockets: "}},
		"hardened": {
			`{"sandbox_profile": "os_hardened", "side_effect_level": "none"}`, nil,
			[]string{"os_hardened", "Network\n  denied\n  UNIX sockets: pairs", "hardened:", "always:", "local_ipc:"},
			[]string{"families:"},
		},
		"strict":        {`{"side_effect_level": "none", "local_ipc": false}`, nil, []string{"Network\n  denied\n  UNIX sockets: none"}, []string{"local_ipc:"}},
		"local servers": {`{"side_effect_level": "none"}`, []string{"-abi", "9"}, []string{"Network\n  denied\n  UNIX sockets: of the task itself", "unix_only:"}, []string{"before ABI 9"}},
		"read":          {`{"workspace_roots": ["local"], "capabilities": {"workspace": ["read_text"]}}`, nil, []string{"r-x  /TASK/local"}, []string{"rwx  /TASK"}},
		"root": {
			`{"read_only_roots": ["` + dir + `", "/nowhere"]}`, nil,
			[]string{"Missing here, so that the task would be refused\n  /nowhere", "read_only_roots"},
			[]string{"r-x  /nowhere"},
		},
		"loopback": {`{"side_effect_level": "none", "process_sandbox": {"allow_tcp_loopback": true}}`, nil, []string{"Network\n  TCP on a loopback of the task's own\n  UNIX sockets: pairs", "network: private, with a loopback alone"}, nil},
		"marks": {
			`{"read_deny_roots": ["local/.env"], "protect": [".git/hooks"]}`, nil,
			[]string{"---  denied by read_deny_roots: /TASK/local/.env", "r--  kept as it is by protect: /TASK/.git/hooks"},
			nil,
		},
		"credentials": {`{"read_only_roots": ["/root"]}`, nil, []string{"a place of credentials in a home, which is denied to every task: /root/.ssh /root/.aws"}, nil},
		"of Harn":     {`{"tools": ["x"], "process_sandbox": {"presets": null, "read_roots": [], "netns_launcher_path": "/x"}}`, nil, []string{"tools is not enforced by the kernel", "netns_launcher_path is not used"}, nil},
		"ports":       {`{"tcp_connect": [443]}`, nil, []string{"TCP only, to ports: 443 {connect_tcp}"}, []string{"Network\n  allowed"}},
		"old":         {`{}`, []string{"-abi", "2"}, []string{"Landlock ABI 2", "before ABI 3"}, []string{"truncate"}},
		// Of the levels below workspace_write, the names promise what no level does.
		"level none":      {`{"side_effect_level": "none"}`, nil, []string{`side_effect_level = "none" denies the network, and neither writing nor executing`, "rwx  /TASK"}, nil},
		"level read_only": {`{"side_effect_level": "read_only"}`, nil, []string{`side_effect_level = "read_only" denies the network, and neither`, "rwx  /TASK"}, nil},
		"level write":     {`{"side_effect_level": "workspace_write"}`, nil, []string{"Network\n  denied"}, []string{"neither writing nor executing"}},
		"no level":        {`{}`, nil, []string{"Network\n  allowed"}, []string{"neither writing nor executing"}},
	} {
		args := append([]string{"explain", "-abi", "7", "-policy", write(t, "p.json", tc.policy)}, tc.args...)
		status, stdout, stderr := call(args...)
		if refused := strings.Contains(stdout, "Missing"); status != map[bool]int{false: 0, true: 1}[refused] || stderr != "" {
			t.Errorf("%s: %d %s", name, status, stderr)
		}
		wantTexts(t, name, stdout, tc.has, tc.not)
	}
	for policy, want := range map[string]string{
		`{"sandbox_profile": "worktre"}`: `did you mean "worktree"`,
		`{"tcp_connect": [0]}`:           "tcp_connect[0]",
		`{`:                              "not a JSON object",
	} {
		if status, _, stderr := call("explain", "-policy", write(t, "p.json", policy)); status != 1 || !strings.Contains(stderr, want) {
			t.Errorf("%s: %d %s", policy, status, stderr)
		}
	}
	if status, _, stderr := call("explain", "-abi", "3", "-policy", write(t, "p.json", `{"tcp_connect": [443]}`)); status != 1 || !strings.Contains(stderr, "needs Landlock ABI 4, this node has 3") {
		t.Errorf("ports at ABI 3: %d %s", status, stderr)
	}
}

// Of all that decides about a task, explain says what it is.
func TestExplainSources(t *testing.T) {
	kerneltest.Landlock(t, 1)
	job := func(name, user, more string) string {
		return write(t, name, `job "j" {
  group "g" {
    network {
      mode = "bridge"
    }
    volume "data" {
      type   = "host"
      source = "data"
    }
    task "t" {
      driver = "harn"
      user   = "`+user+`"
      config {
        command = "true"
        `+more+`
      }
      volume_mount {
        volume      = "data"
        destination = "/data"
        read_only   = true
      }
      resources {
        cpu        = 300
        memory     = 64
        memory_max = 96
      }
    }
  }
}`)
	}
	plain := job("plain.hcl", "root", "")
	more := job("more.hcl", "daemon", `cpu_hard_limit = true
        pids_limit = 7
        nice = 3
        cap_add = ["chown"]
        ulimit { nofile = "10:20" }
        capability_policy {
          side_effect_level = "read_only"
          workspace_roots   = ["local", "/nowhere"]
        }`)
	agent := write(t, "agent.hcl", `plugin "nomad-driver-harn" {
  config {
    allow_caps = ["chown"]
    pids_limit = 99
    system_read_roots = ["/usr", "/etc"]
    default_policy {
      side_effect_level = "none"
    }
  }
}`)
	ceiling := write(t, "ceiling.hcl", `plugin "nomad-driver-harn" {
  config {
    ceiling {
      read_only_roots = ["/opt"]
      workspace_roots = []
    }
  }
}`)
	limited := write(t, "limited.hcl", `plugin "nomad-driver-harn" {
  config {
    ceiling {
      workspace_roots = ["/srv"]
      capabilities {
        workspace = ["read_text"]
      }
    }
  }
}`)
	text, err := os.ReadFile(plain)
	if err != nil {
		t.Fatal(err)
	}
	writable := write(t, "writable.hcl", strings.Replace(string(text), "read_only   = true", "read_only   = false", 1))
	shared := write(t, "shared.hcl", strings.NewReplacer("read_only   = true", "read_only   = false", `user   = "root"`, "").Replace(string(text)))
	read := write(t, "read.hcl", strings.Replace(string(text), `user   = "root"`, "", 1))
	others, repository, open := ofDaemon(t, 0o755), ofDaemon(t, 0o777), ofDaemon(t, 0o777)
	if err := os.Mkdir(filepath.Join(repository, ".git"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		args     []string
		status   int // 1 where it says that the user root is not allowed, or /nowhere is missing
		has, not []string
	}{
		"plain": {[]string{"-job", plain}, 1, []string{
			"processes and threads: 4096", "memory: 96 MiB, of which 64 MiB are reserved", "cpu: 300 MHz", "a share", "network: the group's, mode bridge",
			"the workspace, as no workspace_roots are named", "r-x  /data  ", "volume_mount of data", "processes: private", "capabilities: none",
			"user: \"root\"", "covered: /etc/gshadow",
		}, []string{"nofile"}},
		"operator": {[]string{"-job", more, "-config", agent}, 1, []string{
			"processes and threads: 7", "never more", "nice: 3", "capabilities: chown", "ulimit nofile: 10, raisable to 20", "network: private, with nothing in it",
			"rwx  /TASK/local", "/nowhere", "  daemon\n",
		}, []string{"the workspace, as", "r-x  /bin", "user: \"daemon\""}},
		"default policy": {[]string{"-job", plain, "-config", agent}, 1, []string{"Network\n  denied", "processes and threads: 99"}, nil},
		"not allowed":    {[]string{"-job", more}, 1, []string{"cap_add: chown is not allowed"}, nil},
		"ceiling":        {[]string{"-read_only_roots", "/etc", "-config", ceiling}, 1, []string{"/etc", "/opt"}, nil},
		"ceiling: volumes": {[]string{"-job", writable, "-config", limited}, 1, []string{
			"r-x  /data  ", `volume_mount of data, if its source is in the operator's ceiling ("/srv")`,
		}, []string{"rwx  /data"}},
		"options":         {[]string{"-side_effect_level", "network", "-tcp_connect", "443", "-abi", "7", "-capabilities", "workspace=read_text"}, 0, []string{"443 {connect_tcp}", "r-x  /TASK"}, nil},
		"wrong option":    {[]string{"-tcp_connect", "x"}, 2, []string{`"x" is not a number`}, nil},
		"bad value":       {[]string{"-sandbox_profile", "worktre"}, 1, []string{`did you mean "worktree"`}, nil},
		"two sources":     {[]string{"-job", plain, "-local_ipc"}, 2, []string{"give -job FILE"}, nil},
		"difference":      {[]string{"-job", plain, "-job", more, "-config", agent}, 1, []string{"Limits\n- ", "+ CPU: never", "- processes and threads: 99", "+ processes and threads: 7", "+ capabilities: chown", "+ rwx /TASK/local"}, []string{"/proc", "memory"}},
		"no difference":   {[]string{"-job", plain, "-job", plain}, 1, []string{"No difference."}, nil},
		"difference json": {[]string{"-json", "-job", plain, "-job", more, "-config", agent}, 1, []string{`"added"`, `"removed"`, `"User"`}, nil},
		"volume of a dynamic user": {[]string{"-job", shared}, 0, []string{
			`volume_mount: destination "/data": what the task makes there belongs to a dynamic user of its own, whom no other task is`,
			`need the same user = "..."`, "users of one group",
		}, nil},
		"volume of a named user":    {[]string{"-job", writable}, 1, nil, []string{"whom no other task is"}},
		"volume that it only reads": {[]string{"-job", read}, 0, nil, []string{"whom no other task is"}},
		"root of another owner": {[]string{"-workspace_roots", others}, 0, []string{
			`workspace_roots: "` + others + `" belongs to "daemon" (user 1), mode 0755: the task runs as a dynamic user of its own, which cannot write there: name a user of the host that may, by user = "..."`,
		}, nil},
		"repository of another owner": {[]string{"-workspace_roots", repository}, 0, []string{
			`workspace_roots: "` + repository + `" belongs to "daemon" (user 1), mode 0777, the task runs as a dynamic user of its own: git calls that dubious ownership`,
		}, nil},
		"repository that it only reads": {[]string{"-read_only_roots", repository}, 0, []string{
			`read_only_roots: "` + repository + `" belongs to "daemon" (user 1), mode 0777, the task runs as a dynamic user of its own: git calls that dubious ownership`,
			`GIT_CONFIG_KEY_0 = "safe.directory", GIT_CONFIG_VALUE_0 = "` + repository + `"`,
		}, nil},
		"root that all may write": {[]string{"-workspace_roots", open}, 0, nil, []string{"belongs to"}},
	} {
		status, stdout, stderr := call(append([]string{"explain"}, tc.args...)...)
		all := stdout + stderr
		if status != tc.status {
			t.Errorf("%s: %d %s", name, status, all)
		}
		wantTexts(t, name, all, tc.has, tc.not)
	}
}

// ofDaemon makes a directory of another user's.
func ofDaemon(t *testing.T, mode os.FileMode) string {
	t.Helper()
	kerneltest.Root(t)
	dir, err := os.MkdirTemp("/var/tmp", "harn-explain-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	for _, err := range []error{os.Chmod(dir, mode), os.Chown(dir, 1, 1)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// The examples are explained as they stand.
func TestExplainExamples(t *testing.T) {
	kerneltest.Landlock(t, 1)
	jobs, err := filepath.Glob("../example/*.nomad.hcl")
	if err != nil || len(jobs) == 0 {
		t.Fatal(jobs, err)
	}
	missing := map[string]string{} // programs that this host need not have
	if _, err := exec.LookPath("harn"); err != nil {
		missing["../example/harn.nomad.hcl"] = `"harn" was not found`
	}
	for _, job := range jobs {
		args := []string{"explain", "-json", "-abi", "7", "-job", job}
		if strings.Contains(job, "network") { // its group has two
			if status, _, stderr := call(args...); status != 1 || !strings.Contains(stderr, "choose one by -task") {
				t.Errorf("%s: %d %s", job, status, stderr)
			}
			args = append(args, "-task", "client")
		}
		status, stdout, stderr := call(args...)
		var e command.Explanation
		if err := json.Unmarshal([]byte(stdout), &e); (status != 0) != (missing[job] != "") || !strings.Contains(strings.Join(e.Missing, "; "), missing[job]) || err != nil || e.Profile == "" || len(e.Files) == 0 || len(e.Syscalls) == 0 {
			t.Errorf("%s: %d %v\n%s%s", job, status, err, stdout, stderr)
		}
	}
}

// What the driver would refuse on this host, explain lists, and its status says it.
func TestExplainSaysWhatIsMissing(t *testing.T) {
	kerneltest.Landlock(t, 1)
	for name, tc := range map[string]struct {
		task     string // of a job, in which the config is
		missing  string // "" if nothing is
		has, not []string
	}{
		"a path":                    {`config { command = "/bin/true" }`, "", []string{"Program\n  /bin/true\n  starts in /TASK\n"}, []string{"workspace_roots = []"}},
		"a name":                    {`config { command = "true" }`, "", []string{"Program\n  /usr/bin/true\n"}, nil},
		"in a directory":            {"config {\n command = \"true\"\n work_dir = \"local\"\n }", "", []string{"starts in /TASK/local\n"}, nil},
		"a root":                    {"config {\n command = \"true\"\n capability_policy { read_only_roots = [\"/srv/nothing\"] }\n }", "/srv/nothing", nil, nil},
		"an empty list":             {"config {\n command = \"true\"\n capability_policy { workspace_roots = [] }\n }", "", []string{"workspace_roots = [] is the task's own directories"}, nil},
		"no such name":              {`config { command = "harn-none" }`, `"harn-none" was not found`, []string{"Program\n  harn-none\n"}, nil},
		"a home":                    {"config {\n command = \"true\"\n capability_policy { read_only_roots = [\"~/.nvm\"] }\n }", "~ is not expanded", nil, nil},
		"as in exec":                {"config {\n command = \"true\"\n capability_policy { read_only_roots = [\"/local/x\"] }\n }", `write "local/x"`, nil, nil},
		"no such path":              {`config { command = "/local/run.sh" }`, `"/local/run.sh"`, nil, nil},
		"not in the task directory": {`config { command = "local/run.sh" }`, `"local/run.sh"`, nil, []string{"not looked up"}},
		"outside":                   {`config { command = "/var/lib/dpkg/info/base-files.postinst" }`, "read_only_roots = [", nil, nil},
		"no such directory":         {"config {\n command = \"true\"\n work_dir = \"local/none\"\n }", `work_dir: "local/none"`, nil, nil},
		"the user":                  {"user = \"root\"\n config { command = \"true\" }", `user: "root"`, nil, nil},
		"a template": {
			"config { command = \"local/run.sh\" }\n template {\n destination = \"local/run.sh\"\n perms = \"755\"\n data = \"#!/bin/sh\"\n }", "",
			[]string{"Program\n  /TASK/local/run.sh\n"},
			nil,
		},
		"a template at a variable": {
			"config { command = \"local/run.sh\" }\n template {\n destination = \"${NOMAD_TASK_DIR}/run.sh\"\n perms = \"755\"\n data = \"#!/bin/sh\"\n }", "",
			[]string{"Program\n  /TASK/local/run.sh\n"},
			nil,
		},
		"a template that becomes executable": {
			"config { command = \"local/run.sh\" }\n template {\n destination = \"local/run.sh\"\n data = \"#!/bin/sh\"\n }", "",
			[]string{"Program\n  /TASK/local/run.sh\n"},
			nil,
		},
		"a template that cannot be executed": {
			"config { command = \"secrets/run.sh\" }\n template {\n destination = \"secrets/run.sh\"\n data = \"#!/bin/sh\"\n }", "not executable", nil, nil,
		},
		"an artifact":           {"config { command = \"run.sh\" }\n artifact { source = \"https://example.com/x.tar\" }", "", []string{"run.sh, which is not looked up here"}, nil},
		"an artifact elsewhere": {"config { command = \"run.sh\" }\n artifact {\n source = \"https://example.com/x.tar\"\n destination = \"local/x\"\n }", `"run.sh" was not found`, nil, nil},
		"another task's":        {`config { command = "alloc/data/run.sh" }`, "", []string{"not looked up"}, nil},
		"a volume":              {"config { command = \"/data/run.sh\" }\n volume_mount {\n volume = \"v\"\n destination = \"/data\"\n }", "", []string{"not looked up"}, nil},
		"a variable":            {`config { command = "${meta.program}" }`, "", []string{"not looked up"}, nil},
		"of a PATH":             {"config { command = \"base-files.postinst\" }\n env { PATH = \"/var/lib/dpkg/info\" }", "read_only_roots = [\"/var/lib/dpkg/info\"]", nil, nil},
	} {
		job := write(t, "x.nomad.hcl", "job \"j\" {\n group \"g\" {\n volume \"v\" { \n type = \"host\"\n source = \"v\"\n }\n task \"t\" {\n driver = \"harn\"\n"+tc.task+"\n}\n}\n}\n")
		status, stdout, stderr := call("explain", "-abi", "7", "-job", job)
		_, listed, _ := strings.Cut(stdout, "Missing here, so that the task would be refused\n")
		if (status == 1) != (tc.missing != "") || (listed == "") != (tc.missing == "") || !strings.Contains(listed, tc.missing) || stderr != "" {
			t.Errorf("%s: %d, missing %q %s", name, status, listed, stderr)
		}
		wantTexts(t, name, stdout, tc.has, append(tc.not, "harn-explain-"))
		for title, part := range explained(stdout) {
			if slices.Sort(part); len(slices.Compact(slices.Clone(part))) != len(part) {
				t.Errorf("%s: %s: twice the same in %q", name, title, part)
			}
		}
	}
}

// explained are the lines of an explanation, by title.
func explained(text string) map[string][]string {
	parts, title := map[string][]string{}, ""
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, " ") {
			parts[title] = append(parts[title], line)
		} else {
			title = line
		}
	}
	return parts
}

func TestProbe(t *testing.T) {
	kerneltest.Root(t)
	abi := kerneltest.Landlock(t, 1)
	status, stdout, stderr := call("probe", "-json")
	var findings []finding
	if err := json.Unmarshal([]byte(stdout), &findings); err != nil || stderr != "" || status == 2 {
		t.Fatalf("%d %v\n%s%s", status, err, stdout, stderr)
	}
	for _, f := range findings {
		if f.Name == "Landlock: TCP ports" && f.OK != (abi >= 4) {
			t.Errorf("%+v at ABI %d", f, abi)
		}
	}
}

// What people type first is understood: help as a command, and a dash for the standard input.
func TestHelpAndTheStandardInput(t *testing.T) {
	for _, tc := range []struct {
		args []string
		has  string
	}{
		{[]string{"help"}, "COMMANDS"},
		{[]string{"help", "explain"}, "nomad-driver-harn explain [options]"},
		{[]string{"help", "run"}, "nomad-driver-harn run [options]"},
	} {
		status, stdout, stderr := call(tc.args...)
		if status != 0 || !strings.Contains(stdout+stderr, tc.has) {
			t.Errorf("%q: status %d, %s%s", tc.args, status, stdout, stderr)
		}
	}
	if status, _, stderr := call("help", "none"); status != unknownCommand || !strings.Contains(stderr, `unknown command "none"`) {
		t.Errorf("status %d, %s", status, stderr)
	}
	input := func(file string) *os.File {
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	var stdout, stderr bytes.Buffer
	if status := run([]string{"explain", "-job", "-"}, &command.Streams{Stdin: input(jobWith(t, "", "", "")), Stdout: &stdout, Stderr: &stderr}); status != 0 || !strings.Contains(stdout.String(), "/bin/true") {
		t.Errorf("a job: status %d, %s%s", status, &stdout, &stderr)
	}
	stderr.Reset()
	policyFile := write(t, "p.json", `{"zzz": 1}`)
	if status := run([]string{"explain", "-policy", "-"}, &command.Streams{Stdin: input(policyFile), Stdout: &stdout, Stderr: &stderr}); status != 1 ||
		!strings.Contains(stderr.String(), `stdin: unknown field "zzz", expected one of sandbox_profile, `) {
		t.Errorf("a policy: status %d, %s", status, &stderr)
	}
	stderr.Reset()
	if status := run([]string{"explain", "-policy", "-", "-policy", "-"}, &command.Streams{Stdin: input(write(t, "p.json", `{}`)), Stdout: &stdout, Stderr: &stderr}); status != 1 ||
		!strings.Contains(stderr.String(), "read once") {
		t.Errorf("twice: status %d, %s", status, &stderr)
	}
	if _, _, stderr := call("explain", "-policy", policyFile, "-policy", policyFile); strings.Count(stderr, policyFile) != 1 {
		t.Errorf("the file stands twice: %s", stderr)
	}
}
