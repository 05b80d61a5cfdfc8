// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/burin-labs/nomad-driver-harn/internal/kerneltest"
)

// running are the processes whose command line begins with some words.
func running(words ...string) (pids []int) {
	for _, p := range kerneltest.Processes() {
		if len(p.Args) >= len(words) && slices.Equal(p.Args[:len(words)], words) {
			pids = append(pids, p.PID)
		}
	}
	return pids
}

// waits reports whether a process is a supervisor that waits for its task, as one of each kind
// does while the plugin that has started it runs, and no longer.
func waits(p kerneltest.Process) bool {
	if p.Args[0] != "harn-supervisor" || len(p.Args) < 2 || !strings.HasPrefix(p.Args[1], "(waits for") {
		return false
	}
	parent := p.Parent()
	return slices.ContainsFunc(kerneltest.Processes(), func(other kerneltest.Process) bool {
		return other.PID == parent && filepath.Base(other.Args[0]) == "nomad-driver-harn"
	})
}

// supervisors are the processes of a job's task that outlive the agent.
func supervisors(j *job) (pids []int) {
	for _, p := range kerneltest.Processes() {
		if p.Args[0] == "harn-supervisor" && len(p.Args) > 1 && strings.HasPrefix(p.Args[1], j.alloc.ID) {
			pids = append(pids, p.PID)
		}
	}
	return pids
}
