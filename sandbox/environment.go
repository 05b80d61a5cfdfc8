// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package sandbox

import (
	"fmt"
	"slices"
)

// defaultPath is the PATH of a task whose job sets none.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Withhold returns the names of the variables that a task does not get of those
// that Nomad gives to the driver, sorted.
//
// Nomad's client hands the agent's own environment down, merged with what the
// job and Nomad set, which overrides it. So a variable of another value than the
// agent's is not the agent's. Of one with the same value nothing tells whose it
// is, and these rules decide:
//
//   - what Nomad itself sets for every task is Nomad's: it is never overridden
//     by the agent's environment;
//   - what the driver sets itself keeps the driver's value, but for PATH: the
//     agent's HOME, USER and TMPDIR are those of another user and another view;
//   - what cannot hold a secret arrives: it does no harm if it was the agent's,
//     and is missed if it was the job's;
//   - the rest may be a secret of the agent's, and is withheld.
//
// A driver of the isolation mode image is handed nothing of the agent's (client/
// allocrunner/taskrunner/task_dir_hook.go): in that mode none of this is needed.
func Withhold(nomad map[string]string) []string {
	withheld := []string{} // not nil, which is a handle's of an earlier version
	agents := theAgent.has()
	for name, value := range nomad {
		if agents(name, value) && !nomadSets(name) && (ownSetting[name] || mayBeSecret(name, value)) {
			withheld = append(withheld, name)
		}
	}
	slices.Sort(withheld)
	return withheld
}

// ownSetting are what the driver sets for every task, and what a shell keeps of
// its own state.
var ownSetting = map[string]bool{
	"HOME": true, "USER": true, "LOGNAME": true, "TMPDIR": true,
	"SHELL": true, "PWD": true, "OLDPWD": true, "SHLVL": true, "_": true,
}

// bookkeeping are what init systems and terminals set for the agent: no job
// misses them.
var bookkeeping = pattern(`^(?:INVOCATION_ID|JOURNAL_STREAM|SYSTEMD_EXEC_PID|NOTIFY_SOCKET|WATCHDOG_.*|LISTEN_.*|MEMORY_PRESSURE_.*|CREDENTIALS_DIRECTORY|(?:XDG|SSH|SUDO|DBUS|LESS|LS|HIST)_?.*|MAIL|DISPLAY)$`)

// namedVariables is how many variables a task event names.
const namedVariables = 4

// withheldNote names the variables that a job may miss, for the task's event.
// It never shows a value.
func withheldNote(withheld []string) []string {
	missed := slices.DeleteFunc(slices.Clone(withheld), func(name string) bool { return ownSetting[name] || bookkeeping().MatchString(name) })
	if len(missed) == 0 {
		return nil
	}
	more := ""
	if n := len(missed) - namedVariables; n > 0 {
		missed, more = missed[:namedVariables], fmt.Sprintf(" and %d more", n)
	}
	return []string{fmt.Sprintf("not passed on, because the agent's environment has the same and it may be secret: %q%s; if the job sets one of these, take it out of the agent's environment", missed, more)}
}

// Environment returns the whole environment of a task: what Nomad gives
// but for what is withheld, and what the driver sets where the job does not.
func Environment(nomad map[string]string, withheld []string, userName, home string) map[string]string {
	env := map[string]string{
		"PATH":    defaultPath,
		"HOME":    home,
		"USER":    userName,
		"LOGNAME": userName,
		"TMPDIR":  "/tmp",
	}
	for name, value := range nomad {
		if _, found := slices.BinarySearch(withheld, name); !found {
			env[name] = value
		}
	}
	return env
}

// EnvironmentList is an environment as execve(2) takes it, sorted.
func EnvironmentList(env map[string]string) []string {
	list := make([]string, 0, len(env))
	for name, value := range env {
		list = append(list, name+"="+value)
	}
	slices.Sort(list)
	return list
}
