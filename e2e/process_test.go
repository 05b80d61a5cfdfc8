// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

type process struct {
	pid  int
	args []string
}

// processes are all processes of this PID namespace: the agents and what they
// started.
func processes() []process {
	var all []process
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		pid, _ := strconv.Atoi(filepath.Base(dir))
		cmdline, err := os.ReadFile(dir + "/cmdline")
		if err != nil || len(cmdline) == 0 {
			continue
		}
		args := strings.Split(strings.TrimRight(string(cmdline), "\x00"), "\x00")
		all = append(all, process{pid, args})
	}
	return all
}

// running are the processes whose command line begins with some words.
func running(words ...string) (pids []int) {
	for _, p := range processes() {
		if len(p.args) >= len(words) && slices.Equal(p.args[:len(words)], words) {
			pids = append(pids, p.pid)
		}
	}
	return pids
}

// supervisors are the processes of a job's task that outlive the agent.
func supervisors(j *job) (pids []int) {
	for _, p := range processes() {
		if p.args[0] == "harn-supervisor" && len(p.args) > 1 && strings.HasPrefix(p.args[1], j.alloc.ID) {
			pids = append(pids, p.pid)
		}
	}
	return pids
}
