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
)

// process is one of this PID namespace: an agent, or something it started.
type process struct {
	pid, parent int
	args        []string
}

func processes() []process {
	var all []process
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		pid, _ := strconv.Atoi(filepath.Base(dir))
		cmdline, err := os.ReadFile(dir + "/cmdline")
		if err != nil || len(cmdline) == 0 {
			continue
		}
		stat, err := os.ReadFile(dir + "/stat")
		if err != nil {
			continue
		}
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		parent, _ := strconv.Atoi(fields[1])
		all = append(all, process{pid, parent, strings.Split(strings.TrimRight(string(cmdline), "\x00"), "\x00")})
	}
	return all
}

// Kinds of processes that a running task needs.
const (
	pluginProcess     = "plugin"
	supervisorProcess = "supervisor" // ours
	executorProcess   = "executor"   // raw_exec's and exec's
	logmonProcess     = "logmon"     // Nomad's own, for every driver
)

func (p process) kind() string {
	switch {
	case strings.HasSuffix(p.args[0], "/nomad-driver-harn"):
		return pluginProcess
	case p.args[0] == "harn-supervisor":
		return supervisorProcess
	case len(p.args) > 1 && (p.args[1] == executorProcess || p.args[1] == logmonProcess):
		return p.args[1]
	}
	return ""
}

// pidsOf are the processes of some kinds.
func pidsOf(kinds ...string) (pids []int) {
	for _, p := range processes() {
		if kind := p.kind(); kind != "" && slices.Contains(kinds, kind) {
			pids = append(pids, p.pid)
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

func unmountBeneath(dir string) {
	mounts, _ := os.ReadFile("/proc/self/mounts")
	lines := strings.Split(strings.TrimSpace(string(mounts)), "\n")
	for _, line := range slices.Backward(lines) {
		if f := strings.Fields(line); len(f) > 1 && strings.HasPrefix(f[1], dir+"/") {
			_ = unix.Unmount(f[1], unix.MNT_DETACH)
		}
	}
}
