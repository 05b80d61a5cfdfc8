// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"os"
	"slices"
)

// defaultPath is the PATH of a task whose job sets none.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// taskEnvironment returns the whole environment of a task.
//
// Nomad hands the agent's own environment down to tasks, mixed with what the
// job and Nomad set. The plugin has inherited the same environment, which is
// how those variables are told apart: they are left out, an untrusted task has
// no use for them.
func taskEnvironment(nomad map[string]string, userName, home string) map[string]string {
	env := map[string]string{
		"PATH":    defaultPath,
		"HOME":    home,
		"USER":    userName,
		"LOGNAME": userName,
		"TMPDIR":  "/tmp",
	}
	for name, value := range nomad {
		if agents, ok := os.LookupEnv(name); ok && agents == value {
			continue
		}
		env[name] = value
	}
	return env
}

func environmentList(env map[string]string) []string {
	list := make([]string, 0, len(env))
	for name, value := range env {
		list = append(list, name+"="+value)
	}
	slices.Sort(list)
	return list
}
