// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package attack

import "github.com/burin-labs/nomad-driver-harn/policy"

// profile is under what attacks are run.
type profile struct {
	Name     string
	sandbox  string
	level    string
	user     string
	hardened bool
	network  bool
	strict   bool // local_ipc = false
}

// profiles are the columns of the table.
var profiles = []profile{
	{Name: "worktree", sandbox: "worktree", level: "process_exec", user: taskUser},
	{Name: "worktree+net", sandbox: "worktree", level: "network", user: taskUser, network: true},
	{Name: "worktree+net root", sandbox: "worktree", level: "network", user: "root", network: true},
	{Name: "hardened", sandbox: "os_hardened", level: "process_exec", user: taskUser, hardened: true, strict: true},
	{Name: "hardened+net", sandbox: "os_hardened", level: "network", user: taskUser, hardened: true, network: true},
}

func (p *profile) policy(workspace, readOnly []string) *policy.Policy {
	made := &policy.Policy{
		SandboxProfile:  p.sandbox,
		SideEffectLevel: p.level,
		WorkspaceRoots:  workspace,
		ReadOnlyRoots:   readOnly,
	}
	if p.strict {
		made.LocalIPC = new(false)
	}
	return made
}
