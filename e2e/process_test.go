// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
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

// waits reports whether a supervisor waits for its task, as one of each kind does while the
// plugin runs.
func waits(p kerneltest.Process) bool {
	return len(p.Args) > 1 && strings.HasPrefix(p.Args[1], "(waits for")
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
