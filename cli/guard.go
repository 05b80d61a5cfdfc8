// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package cli

import (
	"os"
	"path/filepath"

	"github.com/hashicorp/hcl"

	"github.com/burin-labs/nomad-driver-harn/sandbox"
	"github.com/burin-labs/nomad-driver-harn/suggest"
)

// newGuard knows what is closed on this host, by the driver and by the agent's
// configuration file, "" for none.
func newGuard(operator *sandbox.Settings, config string) (*suggest.Guard, error) {
	closed, err := sandbox.ClosedPaths(operator)
	if err != nil {
		return nil, err
	}
	guard := &suggest.Guard{}
	for _, path := range closed {
		guard.Places = append(guard.Places, suggest.Place{Path: path, Why: "closed to every task, by the driver or the plugin option masked_paths"})
	}
	directories, err := agentDirectories(config)
	if err != nil {
		return nil, err
	}
	for _, path := range directories {
		guard.Places = append(guard.Places, suggest.Place{Path: path, Why: "a directory of the Nomad agent's"})
	}
	return guard, nil
}

// agentDirectories are those that an agent's configuration file names, and the
// file's own.
func agentDirectories(file string) ([]string, error) {
	if file == "" {
		return nil, nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var agent struct {
		DataDir   string `hcl:"data_dir"`
		PluginDir string `hcl:"plugin_dir"`
		Client    []struct {
			StateDir       string `hcl:"state_dir"`
			AllocDir       string `hcl:"alloc_dir"`
			AllocMountsDir string `hcl:"alloc_mounts_dir"`
		} `hcl:"client"`
	}
	if err := hcl.Decode(&agent, string(data)); err != nil {
		return nil, err
	}
	all := []string{agent.DataDir, agent.PluginDir}
	for _, c := range agent.Client {
		all = append(all, c.StateDir, c.AllocDir, c.AllocMountsDir)
	}
	if path, err := filepath.Abs(file); err == nil {
		all = append(all, path)
	}
	var named []string
	for _, path := range all {
		if filepath.IsAbs(path) && filepath.Clean(path) != "/" {
			named = append(named, filepath.Clean(path))
		}
	}
	return named, nil
}
