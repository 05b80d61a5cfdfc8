// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package sandbox

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// AgentPath is a file or directory of the Nomad agent's own.
type AgentPath struct {
	path, what string
	programs   bool // it holds programs
}

// ConfiguredPath is what an agent's configuration names as its own, by an option.
func ConfiguredPath(option, path string) AgentPath {
	what := map[string]string{
		"data_dir": dataDir, "plugin_dir": pluginDir, "": agentOptions["config"],
	}[option]
	if what == "" {
		what = fmt.Sprintf("a directory of the Nomad agent's (option %s)", option)
	}
	return AgentPath{path, what, what == pluginDir}
}

// Path is where it is.
func (p AgentPath) Path() string { return p.path }

// AgentPaths are the files and directories of the agent that has started this
// process.
func AgentPaths() []AgentPath {
	found := findAgentPaths(os.Getppid())
	if dir, ok := ownPluginDir(); ok {
		found = append(found, AgentPath{dir, pluginDir, true})
	}
	return found
}

// findAgentPaths finds what is the agent's own by looking at the process pid,
// which has started this plugin: Nomad does not tell a driver where its data and
// its configuration are. What cannot be found is left out: the operator's
// masked_paths can name it.
func findAgentPaths(pid int) []AgentPath {
	var found []AgentPath
	add := func(path, what string) {
		if filepath.IsAbs(path) && filepath.Clean(path) != "/" {
			found = append(found, AgentPath{filepath.Clean(path), what, what == pluginDir})
		}
	}
	proc := filepath.Join("/proc", strconv.Itoa(pid))
	// What it has open says where its data is, whatever its configuration says.
	entries, _ := os.ReadDir(proc + "/fd")
	for _, entry := range entries {
		target, err := os.Readlink(filepath.Join(proc, "fd", entry.Name()))
		if err != nil {
			continue
		}
		for _, state := range []string{"/client/state.db", "/server/raft/raft.db"} {
			if data, ok := strings.CutSuffix(target, state); ok {
				add(data, dataDir)
			}
		}
	}
	line, _ := os.ReadFile(proc + "/cmdline")
	dir, _ := os.Readlink(proc + "/cwd")
	for option, value := range commandOptions(string(bytes.TrimRight(line, "\x00"))) {
		what := agentOptions[option]
		for _, path := range value {
			if what != "" && !filepath.IsAbs(path) {
				path = filepath.Join(dir, path)
			}
			if what != "" {
				add(path, what)
			}
		}
	}
	return found
}

// What they are, for people.
const (
	dataDir   = "Nomad's data directory (agent option data_dir)"
	pluginDir = "Nomad's plugin directory (agent option plugin_dir)"
)

// ownPluginDir is the directory that this plugin was started from. One in which
// everybody can make files, as /tmp, is none that an agent trusts.
func ownPluginDir() (string, bool) {
	program, err := os.Executable()
	if err != nil {
		return "", false
	}
	dir := filepath.Dir(program)
	info, err := os.Stat(dir)
	return dir, err == nil && info.Mode()&os.ModeSticky == 0
}

// agentOptions are the options of nomad-agent that name what is its own.
var agentOptions = map[string]string{
	"config":     "Nomad's configuration (nomad agent -config)",
	"data-dir":   dataDir,
	"plugin-dir": pluginDir,
	"alloc-dir":  "the directory of Nomad's allocations (nomad agent -alloc-dir)",
	"state-dir":  "the state of Nomad's client (nomad agent -state-dir)",
}

// commandOptions are the options of a command line whose arguments are
// separated by null bytes: -name=value, -name value, or with two dashes.
func commandOptions(line string) map[string][]string {
	options := map[string][]string{}
	args := strings.Split(line, "\x00")
	for i, arg := range args {
		name, isOption := strings.CutPrefix(arg, "-")
		if !isOption {
			continue
		}
		name = strings.TrimPrefix(name, "-")
		if name, value, ok := strings.Cut(name, "="); ok {
			options[name] = append(options[name], value)
		} else if i+1 < len(args) {
			options[name] = append(options[name], args[i+1])
		}
	}
	return options
}
