// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package attack

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/driver"
	"github.com/burin-labs/nomad-driver-harn/executor"
)

// TestAttacks runs every attack under every profile, and fails if one gets
// through that the policy does not admit.
func TestAttacks(t *testing.T) {
	n := newNomad(t)
	p := build(t, filepath.Join(n.dir, "programs"))
	if program, err := os.ReadFile(p.dir + "/executor"); err == nil {
		executor.SetProgram(bytes.NewReader(program))
	}
	table := newTable(n.abi, p.attacks)
	if strings.HasPrefix(os.Getenv("ATTACK_RUN"), "egress_") {
		t.Run("egress", func(t *testing.T) { egressRows(t, n, p, table) })
		table.finish(t)
		return
	}
	if storiesOnly() {
		t.Run("stories", func(t *testing.T) { stories(t, n, p, table) })
		table.finish(t)
		return
	}
	shared := host(t, n, p)
	t.Run("control", func(t *testing.T) { control(t, n, p, shared, table) })
	for i := range profiles {
		t.Run(profiles[i].Name, func(t *testing.T) { underProfile(t, n, p, shared, table, &profiles[i]) })
	}
	t.Run("resources", func(t *testing.T) { resources(t, n, p, table) })
	t.Run("egress", func(t *testing.T) { egressRows(t, n, p, table) })
	t.Run("starts", func(t *testing.T) { starts(t, n, table) })
	t.Run("stories", func(t *testing.T) { stories(t, n, p, table) })
	table.finish(t)
}

// limit is for all attacks of a run; each has its own timeout.
var limit = func() time.Duration {
	if os.Getenv("HARN_VM") != "" { // of vm.sh: programs are some 7 times slower
		return 30 * time.Minute
	}
	return 10 * time.Minute
}()

// control runs the attacks on the host, without the driver, as the same user
// or as root, in namespaces where what they change is gone afterwards.
func control(t *testing.T, n *nomad, p *programs, shared targets, table *table) {
	for _, who := range []string{"user", "root"} {
		cfg := n.task(taskUser, driver.TaskConfig{Command: "/bin/true"}, false)
		s := place(t, n, cfg, shared, filepath.Join(n.dir, "control-"+who))
		s["CONTROL"] = "1"
		s["RACES"] = "50000" // it ends once a race is won
		file := filepath.Join(s["SECOND"], "results")
		cmd := exec.Command(p.dir+"/suite", "all", file)
		cmd.Env = append(os.Environ(), "ATTACK_ONLY="+who,
			"ATTACK_PROGRAMS="+p.list(func(a *listed) bool { return a.Root == (who == "root") }))
		for name, value := range s.environment() {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
		cmd.Dir = s["WORKSPACE"]
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
		if who == "user" {
			cmd.SysProcAttr.Credential = &syscall.Credential{Uid: taskUID, Gid: taskUID}
		}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		for _, r := range read(t, file) {
			table.control(r)
		}
	}
}

// underProfile runs the attacks in a task.
func underProfile(t *testing.T, n *nomad, p *programs, shared targets, table *table, profile *profile) {
	column := table.column(profile)
	dir := filepath.Join(n.dir, strings.ReplaceAll(profile.Name, " ", "-"))
	cfg := n.task(profile.user, driver.TaskConfig{Command: "/bin/true"}, true)
	s := place(t, n, cfg, shared, dir)
	const results = "results"
	check(t, cfg.EncodeConcreteDriverConfig(&driver.TaskConfig{
		Command: p.dir + "/suite",
		Args:    []string{"all", filepath.Join(s["SECOND"], results)},
		Policy:  profile.policy([]string{"local", "alloc/data", s["SECOND"]}, []string{p.dir, s["READONLY"], "alloc/logs"}),
	}))
	maps.Copy(cfg.Env, s.environment())
	cfg.Env["ATTACK_PROGRAMS"] = p.list(func(*listed) bool { return true })
	for _, name := range []string{"ATTACK_RUN", "ATTACK_TIMEOUT"} {
		if value := os.Getenv(name); value != "" {
			cfg.Env[name] = value
		}
	}
	if err := n.start(cfg); err != nil {
		if profile.hardened && n.abi == 0 {
			column.refusedStart(err)
			return
		}
		t.Fatal(err)
	}
	exit, err := n.wait(t, cfg.ID, limit)
	if err != nil || !exit.Successful() {
		log, _ := os.ReadFile(filepath.Join(cfg.TaskDir().LogDir, cfg.Name+".stderr.0"))
		t.Errorf("the suite ended with %+v, %v\n%s", exit, err, log)
	}
	for _, r := range read(t, filepath.Join(s["SECOND"], results)) {
		column.add(r)
	}
}

// read reads the results that a run has left. It is the only thing that this
// takes from a task.
func read(t *testing.T, file string) []result {
	t.Helper()
	f, err := os.Open(file)
	check(t, err)
	defer f.Close()
	var out []result
	scanner := bufio.NewScanner(f)
	for scanner.Scan() {
		var r result
		if err := json.Unmarshal(scanner.Bytes(), &r); err != nil {
			t.Fatal(errors.Join(errors.New(scanner.Text()), err))
		}
		out = append(out, r)
	}
	check(t, scanner.Err())
	return out
}
