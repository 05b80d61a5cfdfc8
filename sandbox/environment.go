// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package sandbox

import (
	"fmt"
	"slices"

	"github.com/burin-labs/nomad-driver-harn/landlock"
	"github.com/burin-labs/nomad-driver-harn/policy"
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
//     agent's HOME, USER and TMPDIR are those of another user and another view
//     (a HOME that the policy shows something of stands, see keepHome);
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
	homeVariable: true, "USER": true, "LOGNAME": true, "TMPDIR": true,
	"SHELL": true, "PWD": true, "OLDPWD": true, "SHLVL": true, "_": true,
}

// bookkeeping are what init systems and terminals set for the agent: no job
// misses them.
var bookkeeping = pattern(`^(?:INVOCATION_ID|JOURNAL_STREAM|SYSTEMD_EXEC_PID|NOTIFY_SOCKET|WATCHDOG_.*|LISTEN_.*|MEMORY_PRESSURE_.*|CREDENTIALS_DIRECTORY|(?:XDG|SSH|SUDO|DBUS|LESS|LS|HIST)_?.*|MAIL|DISPLAY)$`)

// namedVariables is how long the names of variables in a task event may be, in bytes.
const namedVariables = 200

var (
	// missedFirst are names of what programs do not run without.
	missedFirst = pattern(`(?i)url|uri|dsn|host|addr|endpoint|key|token|pass|secret|cred|cert|file`)
	// missedLast are those by which an agent finds its servers.
	missedLast = pattern(`^(?:NOMAD|CONSUL|VAULT)_`)
)

// missed is where a variable stands among those that a job may miss.
func missed(name string) int {
	switch {
	case missedLast().MatchString(name):
		return 2
	case missedFirst().MatchString(name):
		return 0
	}
	return 1
}

// withheldNote names the variables that a job may miss, for the task's event.
// It never shows a value.
func withheldNote(withheld []string) []string {
	names := slices.DeleteFunc(slices.Clone(withheld), func(name string) bool { return ownSetting[name] || bookkeeping().MatchString(name) })
	if len(names) == 0 {
		return nil
	}
	var ranked [3][]string
	for _, name := range names {
		rank := missed(name)
		ranked[rank] = append(ranked[rank], name)
	}
	names = slices.Concat(ranked[:]...)
	shown, more := 0, ""
	for length := 0; shown < len(names); shown++ {
		if length += len(names[shown]) + len(`"" `); length > namedVariables && shown > 0 {
			break
		}
	}
	if n := len(names) - shown; n > 0 {
		more = fmt.Sprintf(" and %d more", n)
	}
	return []string{fmt.Sprintf("not passed on, because the agent's environment has the same and it may be secret: %q%s; if the job sets one of these, take it out of the agent's environment", names[:shown], more)}
}

// homeVariable is the one of the driver's own settings that a job may well mean to
// have the agent's value.
const homeVariable = "HOME"

// keepHome lets the agent's HOME stand where the policy or a volume shows it, or
// something in it: then it is the job's. What it returns is withheld.
func (a *account) keepHome(w *layout, roots policy.Roots) []string {
	home, err := realPath(a.agentHome)
	if err != nil || home == "/" {
		return a.withheld
	}
	shown := slices.Concat(roots.Workspace, roots.ReadOnly)
	for _, v := range w.volumes {
		shown = append(shown, v.task)
	}
	if !slices.ContainsFunc(shown, func(path string) bool { return landlock.Beneath(home, path) || landlock.Beneath(path, home) }) {
		return a.withheld
	}
	a.home = a.agentHome
	return slices.DeleteFunc(slices.Clone(a.withheld), func(name string) bool { return name == homeVariable })
}

// homeNote says that the job's HOME, if it is the job's, does not count.
func homeNote(a *account, withheld []string, home string) []string {
	if a.agentHome == "" || !slices.Contains(withheld, homeVariable) {
		return nil
	}
	return []string{fmt.Sprintf("HOME is %q: %q is that of the agent, too, and the policy shows nothing of it", home, a.agentHome)}
}

// Environment returns the environment of a task without presets: what Nomad gives
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

// TaskEnvironment is the environment of a task's program, and of its sessions: with what
// presets set, and what the sandbox adds (see [Sandbox.Variables]).
func TaskEnvironment(nomad map[string]string, withheld []string, userName, home string, presets, added map[string]string) map[string]string {
	env := Environment(nomad, withheld, userName, home)
	addPresetEnvironment(env, nomad, presets)
	addVariables(env, added)
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
