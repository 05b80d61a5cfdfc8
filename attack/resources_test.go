// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package attack

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/nomad/nomad/structs"
	"github.com/hashicorp/nomad/plugins/drivers"
	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/driver"
)

// Limits of a task that exhausts its resources.
const (
	pidsLimit  = 64
	memoryMB   = 64
	filesLimit = 256
	logLimit   = 100 << 20 // 10 files of 10 MB, the harness of Nomad
)

// resources runs each attack on resources as a task of its own.
func resources(t *testing.T, n *nomad, p *programs, table *table) {
	limits := targets{"PIDS_LIMIT": strconv.Itoa(pidsLimit), "MEMORY_MB": strconv.Itoa(memoryMB), "FILES_LIMIT": strconv.Itoa(filesLimit)}
	for _, a := range p.attacks {
		if !a.Alone || !strings.Contains(a.Name, os.Getenv("ATTACK_RUN")) {
			continue
		}
		dir := filepath.Join(n.dir, "alone-"+a.Name)
		check(t, os.MkdirAll(dir, 0o777))
		check(t, os.Chmod(dir, 0o777))
		s := targets{"SECOND": dir, "RESULTS": dir + "/results", "CONTROL": "1"}
		maps.Copy(s, limits)
		exhaustControl(t, p, s, &a, table)
		s["CONTROL"] = "0"
		for i := range profiles {
			profile := &profiles[i]
			if profile.network || profile.hardened && n.abi == 0 {
				continue
			}
			_ = os.Remove(s["RESULTS"])
			c := exhaust(t, n, p, profile, s, &a)
			if control := table.controls[a.Name]; control.Answer != succeeded && c.Verdict == Refused {
				c = Cell{NotApplicable, c.Answer, "its control fails: " + control.Answer}
			}
			table.set(a.Name, a.About, profile.Name, c)
		}
	}
	// The host is as it was: it starts tasks.
	cfg := n.task(taskUser, driver.TaskConfig{Command: "/bin/true"}, true)
	check(t, n.start(cfg))
	if exit, err := n.wait(t, cfg.ID, limit); err != nil || !exit.Successful() {
		t.Errorf("after all attacks on resources, a task ends with %+v, %v", exit, err)
	}
}

// exhaustControl runs the attack without limits; its PID and IPC namespaces
// take all of it away again.
func exhaustControl(t *testing.T, p *programs, s targets, a *listed, table *table) {
	cmd := exec.Command(p.dir+"/suite", "alone", a.Name)
	for name, value := range s.environment() {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWIPC, Pdeathsig: unix.SIGKILL}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%s without limits: %v\n%.300s", a.Name, err, out)
	}
	if r, ok := readOne(s["RESULTS"]); ok {
		table.control(r)
	}
}

func readOne(file string) (result, bool) {
	var r result
	data, err := os.ReadFile(file)
	return r, err == nil && json.Unmarshal(data, &r) == nil
}

// exhaust runs the attack under limits, and judges what the host saw of it.
func exhaust(t *testing.T, n *nomad, p *programs, profile *profile, s targets, a *listed) Cell {
	cfg := n.task(profile.user, driver.TaskConfig{
		Command:   p.dir + "/suite",
		Args:      []string{"alone", a.Name},
		PidsLimit: pidsLimit,
		Ulimit:    map[string]string{"nofile": fmt.Sprintf("%d:%d", filesLimit, filesLimit)},
		Policy:    profile.policy([]string{"local", s["SECOND"]}, []string{p.dir}),
	}, true)
	cfg.Resources.NomadResources = &structs.AllocatedTaskResources{Memory: structs.AllocatedMemoryResources{MemoryMB: memoryMB}}
	maps.Copy(cfg.Env, s.environment())
	if err := n.start(cfg); err != nil {
		t.Fatal(err)
	}
	exit, err := n.wait(t, cfg.ID, 2*time.Minute)
	if err != nil {
		return Cell{Escaped, "", "it does not end: " + err.Error()}
	}
	r, answered := readOne(s["RESULTS"])
	switch a.Name {
	case "res_daemon_outlives", "res_log_hang":
		return daemon(r, map[string]string{"res_daemon_outlives": "4242", "res_log_hang": "4243"}[a.Name])
	case "res_log_flood":
		return flooded(cfg, r)
	}
	switch {
	case exit.OOMKilled:
		return Cell{Refused, "OOM", "killed by the limit of its memory"}
	case !answered:
		return Cell{Refused, fmt.Sprintf("exit %d", exit.ExitCode), fmt.Sprintf("it was ended by signal %d", exit.Signal)}
	case r.Answer == succeeded:
		return Cell{Escaped, "", a.About}
	}
	return Cell{Refused, r.Answer, r.Detail}
}

// daemon looks for the process that the task left behind, by its argument.
func daemon(r result, argument string) Cell {
	if r.Answer != succeeded {
		return Cell{Refused, r.Answer, r.Detail}
	}
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range files {
		if data, _ := os.ReadFile(file); strings.HasSuffix(string(data), "sleep\x00"+argument+"\x00") {
			return Cell{Escaped, "", "it runs on: " + file}
		}
	}
	return Cell{Refused, "killed", "it ended with the task"}
}

// flooded looks at what a flood of the log has left on the host.
func flooded(cfg *drivers.TaskConfig, r result) Cell {
	var size int64
	_ = filepath.WalkDir(cfg.TaskDir().LogDir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // a file that was rotated away meanwhile
		}
		if info, err := entry.Info(); err == nil && info.Mode().IsRegular() {
			size += info.Size()
		}
		return nil
	})
	if size > logLimit {
		return Cell{Escaped, "", fmt.Sprintf("the logs have %d MB", size>>20)}
	}
	return Cell{Refused, "rotated", fmt.Sprintf("%s; Nomad keeps %d MB of it", r.Answer, size>>20)}
}
