// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package sandbox

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// agent is the Nomad agent that this process serves.
type agent struct {
	pid int
	// program is the name of its executable, "" if that cannot be known.
	program string
}

// theAgent has started this process.
var theAgent = findAgent(os.Getppid())

func findAgent(pid int) agent { return agent{pid, programOf(pid)} }

func programOf(pid int) string {
	exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	if err != nil {
		return ""
	}
	return filepath.Base(strings.TrimSuffix(exe, " (deleted)")) // after an upgrade
}

// has returns a function that reports whether a variable of that value is in
// the agent's environment.
//
// This process has inherited it. But an agent that was killed leaves its plugins
// behind, and the next one, of perhaps another environment, takes them over: it
// is one of the processes of the same program.
func (a agent) has() func(name, value string) bool {
	var others []string
	if os.Getppid() != a.pid && a.program != "" {
		others = environments(a.program)
	}
	return func(name, value string) bool {
		own, ok := os.LookupEnv(name)
		return ok && own == value || slices.Contains(others, name+"="+value)
	}
}

// environments are the variables of all processes of a program, proc(5).
func environments(program string) []string {
	var variables []string
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		var pid int
		if _, err := fmt.Sscanf(filepath.Base(dir), "%d", &pid); err != nil || programOf(pid) != program {
			continue
		}
		if data, err := os.ReadFile(dir + "/environ"); err == nil {
			variables = append(variables, strings.Split(string(data), "\x00")...)
		}
	}
	return variables
}
