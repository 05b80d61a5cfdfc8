// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/burin-labs/nomad-driver-harn/policy"
)

// A task runs what an installation below a closed home directory has, once its
// root is named: first refused, then what the error says is added.
func TestRunsAToolchainOfAClosedHome(t *testing.T) {
	h := newHarness(t, nil)
	home, err := os.MkdirTemp("/var/tmp", "harn-home-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(home) }) // its mode is 0700
	bin := filepath.Join(home, "versions/v1/bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	shell, err := os.ReadFile("/bin/bash")
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"harn-shell": string(shell), "harn-tool": "#!/usr/bin/env harn-shell\necho $0 runs; cat $HARN_BESIDE\n", "../lib/beside": "beside it\n"} {
		path := filepath.Join(bin, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o755)); err != nil {
			t.Fatal(err)
		}
	}
	config := TaskConfig{Command: "harn-tool", Policy: &policy.Policy{SideEffectLevel: "process_exec"}}
	env := map[string]string{"PATH": bin + ":/usr/bin:/bin", "HARN_BESIDE": filepath.Dir(bin) + "/lib/beside"}
	cfg := h.task(config)
	for name, value := range env {
		cfg.Env[name] = value
	}
	_, _, err = h.StartTask(cfg)
	line := `read_only_roots = ["` + filepath.Dir(bin) + `"]`
	wantError(t, "without a root", err, bin+"/harn-tool", line)

	config.Policy.ReadOnlyRoots = []string{filepath.Dir(bin)}
	cfg = h.task(config)
	for name, value := range env {
		cfg.Env[name] = value
	}
	h.start(cfg)
	if r := h.wait(cfg.ID); !r.Successful() {
		t.Errorf("%+v: %s", r, h.log(cfg, "stderr", ""))
	}
	h.log(cfg, "stdout", bin+"/harn-tool runs\nbeside it\n")
}

// What equals the agent's arrives in a task and its sessions, unless it may be
// secret: after a start of another agent, too.
func TestAgentsVariablesInATask(t *testing.T) {
	h := newHarness(t, nil)
	bin := t.TempDir() // no root: the command is found behind it
	vars := map[string]string{"LANG": "C.UTF-8", "HTTP_PROXY": "http://proxy.example:3128", "PATH": bin + ":/usr/bin:/bin", "HARN_OF_AGENT_SECRET": "hidden"}
	for name, value := range vars {
		t.Setenv(name, value)
	}
	cfg := h.task(sh("env; sleep 60"))
	for name, value := range vars {
		cfg.Env[name] = value
	}
	h.start(cfg)
	check := func(who string, lines []string) {
		t.Helper()
		for name, value := range vars {
			if arrived := slices.Contains(lines, name+"="+value); arrived != (name != "HARN_OF_AGENT_SECRET") {
				t.Errorf("%s: %s=%s: arrived: %v in %q", who, name, value, arrived, lines)
			}
		}
	}
	check("the task", strings.Split(h.log(cfg, "stdout", "LANG="), "\n"))
	for name := range vars {
		t.Setenv(name, "of another agent")
	}
	t.Setenv("PATH", "/usr/bin:/bin")
	result, err := h.ExecTask(cfg.ID, []string{"/usr/bin/env"}, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	check("a session", strings.Split(string(result.Stdout), "\n"))
}
