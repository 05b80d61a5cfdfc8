// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/internal/kerneltest"
)

const harnProgram = "nomad-driver-harn"

// Kinds of processes that a running task needs.
const (
	pluginProcess     = "plugin"     // of any driver
	supervisorProcess = "supervisor" // ours
	executorProcess   = "executor"   // raw_exec's and exec's
	logmonProcess     = "logmon"     // Nomad's own, for every driver
	keeperProcess     = "keeper"     // of a forwarder
	forwarderProcess  = "forwarder"  // of a task with egress
)

func kind(p kerneltest.Process) string {
	switch {
	case isProgram(p, harnProgram), isProgram(p, floorProgram):
		return pluginProcess
	case p.Args[0] == "harn-supervisor":
		return supervisorProcess
	case p.Args[0] == "harn-keeper":
		return keeperProcess
	case p.Args[0] == "harn-egress":
		return forwarderProcess
	case len(p.Args) > 1 && (p.Args[1] == executorProcess || p.Args[1] == logmonProcess):
		return p.Args[1]
	}
	return ""
}

// isProgram is whether a program is what the process runs, but for a task's
// supervisor, which has a name of its own.
func isProgram(p kerneltest.Process, name string) bool { return filepath.Base(p.Args[0]) == name }

// plugin is the process of a subject's driver, none if that is built into Nomad.
func (c *cluster) plugin(s subject) (pids []int) {
	agent := c.clients[s.client].cmd.Process.Pid
	for _, p := range kerneltest.Processes() {
		if isProgram(p, "nomad-driver-"+s.driver) && p.Parent() == agent {
			pids = append(pids, p.PID)
		}
	}
	return pids
}

// pidsOf are the processes of some kinds.
func pidsOf(kinds ...string) (pids []int) {
	for _, p := range kerneltest.Processes() {
		if k := kind(p); k != "" && slices.Contains(kinds, k) {
			pids = append(pids, p.PID)
		}
	}
	return pids
}

// memory is what processes use, in bytes.
type memory struct {
	processes int
	pss       float64 // proportional: a page that n processes share counts as 1/n
	private   float64
}

// memoryOf adds up proc_pid_smaps(5) of processes.
func memoryOf(pids []int) memory {
	var m memory
	for _, pid := range pids {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if err != nil {
			continue
		}
		m.processes++
		for line := range strings.Lines(string(text)) {
			key, value, _ := strings.Cut(line, ":")
			kb, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 64)
			if err != nil {
				continue
			}
			switch key {
			case "Pss":
				m.pss += kb * 1024
			case "Private_Clean", "Private_Dirty":
				m.private += kb * 1024
			}
		}
	}
	return m
}

// cpuOf adds up the CPU time of processes, of all their threads.
func cpuOf(pids []int) time.Duration {
	var sum time.Duration
	for _, pid := range pids {
		// clock_getcpuclockid(3): nanoseconds, where /proc has hundredths of a
		// second.
		const scheduler = 2
		var t unix.Timespec
		if unix.ClockGettime(int32(^pid)<<3|scheduler, &t) == nil {
			sum += time.Duration(t.Nano())
		}
	}
	return sum
}

// cpuWithChildren is the CPU time of a process, and of its children that it
// has waited for.
func cpuWithChildren(pid int) (own, children time.Duration) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	ticks := func(number int) time.Duration { // as proc_pid_stat(5) counts fields
		n, _ := strconv.Atoi(fields[number-3])
		return time.Duration(n) * time.Second / 100
	}
	return ticks(14) + ticks(15), ticks(16) + ticks(17)
}
