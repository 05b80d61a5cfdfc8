// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"reflect"

	"github.com/burin-labs/nomad-driver-harn/landlock"
)

// Policy is Harn's CapabilityPolicy, with Harn's field names, and [Extensions]. Every field can
// be absent: "" or nil. Absent is not the same as empty.
type Policy struct {
	// SandboxProfile is the name of a [Profile]; absent means worktree.
	SandboxProfile string `codec:"sandbox_profile" json:"sandbox_profile,omitempty"`
	// SideEffectLevel is the name of a [Level], a ceiling; absent means none,
	// so that network is allowed.
	SideEffectLevel string `codec:"side_effect_level" json:"side_effect_level,omitempty"`
	// WorkspaceRoots can be read and written, as far as Capabilities go. An
	// absolute path, or one relative to the task directory. None means the
	// task's own directories.
	WorkspaceRoots []string `codec:"workspace_roots" json:"workspace_roots,omitzero"`
	// ReadOnlyRoots can be read, whatever Capabilities say.
	ReadOnlyRoots []string `codec:"read_only_roots" json:"read_only_roots,omitzero"`
	// Capabilities are the operations granted, by capability. Absent (nil)
	// means no limit. Of those present, only "workspace" is something that a
	// kernel can enforce.
	Capabilities map[string][]string `codec:"capabilities" json:"capabilities,omitzero"`
	// ProcessSandbox is what Harn says of processes alone; nil is nothing.
	ProcessSandbox *ProcessSandbox `codec:"process_sandbox" json:"process_sandbox,omitzero"`

	Extensions
}

// Workspace is the capability that the kernel enforces.
const Workspace = "workspace"

// Operations of the workspace capability that have a meaning for the kernel.
const (
	ReadText  = "read_text"
	List      = "list"
	Exists    = "exists"
	WriteText = "write_text"
	Delete    = "delete"
)

// workspaceOperations are all operations of the capability in Harn's default
// host manifest, and the rights that each needs. Those without any stay inside
// Harn's own virtual machine.
var workspaceOperations = map[string]landlock.AccessFS{
	ReadText:       readSet,
	List:           readSet,
	Exists:         readSet,
	WriteText:      writeSet,
	Delete:         deleteSet,
	"apply_edit":   0,
	"file_exists":  0,
	"project_root": 0,
	"roots":        0,
}

// The sets of rights that operations stand for.
const (
	readSet   = landlock.ReadFile | landlock.ReadDir | landlock.Execute
	deleteSet = landlock.RemoveDir | landlock.RemoveFile
	writeSet  = deleteSet | landlock.WriteFile | landlock.MakeChar | landlock.MakeDir | landlock.MakeReg |
		landlock.MakeSock | landlock.MakeFifo | landlock.MakeBlock | landlock.MakeSym |
		landlock.Refer | landlock.Truncate
)

// Rights on workspace roots that stand out.
const (
	// ReadAccess is reading, listing and executing.
	ReadAccess = readSet
	// FullAccess is what a policy without capabilities grants.
	FullAccess = readSet | writeSet
)

// Profile returns the sandbox profile. The policy must be valid.
func (p *Policy) Profile() Profile {
	if p.SandboxProfile == "" {
		return Worktree
	}
	profile, err := ParseProfile(p.SandboxProfile)
	if err != nil {
		return OSHardened // not reached for a valid policy: fail closed
	}
	return profile
}

// Level returns the side-effect level, false if there is no ceiling. The
// policy must be valid.
func (p *Policy) Level() (Level, bool) {
	if p.SideEffectLevel == "" {
		return 0, false
	}
	level, err := ParseLevel(p.SideEffectLevel)
	if err != nil {
		return LevelNone, true // not reached for a valid policy: fail closed
	}
	return level, true
}

// NetworkAllowed reports whether the task may use the network: there is no
// ceiling of side effects, or it reaches network.
func (p *Policy) NetworkAllowed() bool {
	level, limited := p.Level()
	return !limited || level >= LevelNetwork
}

// WorkspaceAccess returns the rights on workspace roots, of all ABIs.
//
// A policy without capabilities grants reading and writing. One whose
// capabilities grant nothing on the workspace still grants reading: a program
// that cannot read its workspace cannot start there. With AllowChildWorkspaceWrite
// the task writes, whatever they say.
func (p *Policy) WorkspaceAccess() landlock.AccessFS {
	access := capabilityAccess(p.Capabilities)
	if p.process().AllowChildWorkspaceWrite {
		access |= writeSet
	}
	return access
}

// Clone returns a copy that shares nothing with p.
func (p *Policy) Clone() *Policy {
	c := clone(reflect.ValueOf(*p)).Interface().(Policy)
	return &c
}
