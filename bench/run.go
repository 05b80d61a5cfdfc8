// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// Subjects of the command line, and what is measured of them.
const (
	bubblewrap  = "bubblewrap"
	harnRun     = "harn run"
	harnExplain = "harn explain"

	runTrue  = "/bin/true with a view of its own and no network, from the command line"
	question = "explain of a policy"
)

// systemDirs are what both show of the system.
var systemDirs = []string{"/bin", "/lib", "/lib64", "/usr", "/etc"}

// commandLine measures the command run in pairs with bubblewrap, for the same view:
// the system's programs and /etc, read-only, the current directory, and private
// /proc, /dev and /tmp, in new PID, IPC and network namespaces.
func (b *bench) commandLine() error {
	bwrap, err := exec.LookPath("bwrap")
	if err != nil {
		return fmt.Errorf("%w: run \"make setup\"", err)
	}
	dir := filepath.Join(b.dir, "run")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	policy := filepath.Join(b.dir, "policy.json")
	if err := os.WriteFile(policy, []byte(`{"side_effect_level": "process_exec", "workspace_roots": ["."]}`), 0o644); err != nil {
		return err
	}
	view := []string{bwrap, "--die-with-parent", "--unshare-pid", "--unshare-ipc", "--unshare-net", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"}
	for _, path := range systemDirs {
		if target, err := os.Readlink(path); err == nil {
			view = append(view, "--symlink", target, path)
		} else if _, err := os.Stat(path); err == nil {
			view = append(view, "--ro-bind", path, path)
		}
	}
	view = append(view, "--bind", dir, dir, "--chdir", dir, "/bin/true")
	plugin := filepath.Join(b.bin, "nomad-driver-harn")
	subjects := []struct {
		name, what string
		args       []string
	}{
		{bubblewrap, runTrue, view},
		{harnRun, runTrue, []string{plugin, "run", "-quiet", "-policy", policy, "--", "/bin/true"}},
		{harnExplain, question, []string{plugin, "explain", "-policy", policy}},
	}
	samples := map[string][]float64{}
	const warmup = 2
	for i := range b.starts + warmup {
		for _, s := range subjects {
			cmd := exec.Command(s.args[0], s.args[1:]...)
			cmd.Dir = dir
			began := time.Now()
			if out, err := cmd.CombinedOutput(); err != nil {
				return fmt.Errorf("%s: %w: %s", s.name, err, out)
			}
			if i >= warmup {
				samples[s.name] = append(samples[s.name], float64(time.Since(began).Microseconds())/1000)
			}
			time.Sleep(settle)
		}
	}
	for _, s := range subjects {
		b.report.add(runPart, s.what, "ms", s.name, samples[s.name]...)
	}
	return nil
}

// runPart is the part of the command line.
const runPart = "run"
