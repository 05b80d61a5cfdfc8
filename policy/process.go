// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/burin-labs/nomad-driver-harn/landlock"
)

// ProcessSandbox is what Harn's policy says of processes alone. A task is one, so that it adds
// to the policy's own fields.
type ProcessSandbox struct {
	// Presets are names of sets of roots: Harn's, and those of the operator. nil stands for the
	// operator's default.
	Presets []string `codec:"presets" json:"presets"`
	// ReadRoots can be read, and WriteRoots be written as the workspace is, if that can be written.
	ReadRoots  []string `codec:"read_roots" json:"read_roots,omitzero"`
	WriteRoots []string `codec:"write_roots" json:"write_roots,omitzero"`
	// ReadDenyRoots are as those of the policy itself.
	ReadDenyRoots []string `codec:"read_deny_roots" json:"read_deny_roots,omitzero"`
	// AllowTCPLoopback leaves a task without network TCP on a loopback of its own.
	AllowTCPLoopback bool `codec:"allow_tcp_loopback" json:"allow_tcp_loopback,omitzero"`
	// UnixSocketRoots are as those of the policy itself.
	UnixSocketRoots []string `codec:"unix_socket_roots" json:"unix_socket_roots,omitzero"`
	// AllowProcessSelfIntrospection is for a process to list its own entries of /proc. Every task
	// can: its /proc is private.
	AllowProcessSelfIntrospection bool `codec:"allow_process_self_introspection" json:"allow_process_self_introspection,omitzero"`
	// AllowChildWorkspaceWrite lets the task write its workspace, whatever Capabilities say.
	AllowChildWorkspaceWrite bool `codec:"allow_child_workspace_write" json:"allow_child_workspace_write,omitzero"`
	// NetnsLauncherPath is a helper of Harn's host, for which there is no need here.
	NetnsLauncherPath string `codec:"netns_launcher_path" json:"netns_launcher_path,omitzero"`
}

// process is what the policy says of processes; nothing if it has no such block.
func (p *Policy) process() *ProcessSandbox {
	if p.ProcessSandbox == nil {
		return &ProcessSandbox{}
	}
	return p.ProcessSandbox
}

// Presets are the names of the sets of roots that the policy asks for; nil stands for the
// operator's default.
func (p *Policy) Presets() []string { return p.process().Presets }

// LoopbackOnly reports whether the network is a loopback of the task's own.
func (p *Policy) LoopbackOnly() bool { return !p.NetworkAllowed() && p.process().AllowTCPLoopback }

// MayWrite reports whether the policy lets processes change something, as Harn decides it.
func (p *Policy) MayWrite() bool { return p.WorkspaceAccess()&writeSet != 0 }

// socketRoots are the fields that name places of UNIX sockets, as far as the policy has them.
func (p *Policy) socketRoots() (fields []*Field) {
	p.Each(func(f *Field) {
		if f.Role == SocketRole && len(*f.list(p)) > 0 {
			fields = append(fields, f)
		}
	})
	return fields
}

// processRows are the members of process_sandbox.
func processRows() []Field {
	return []Field{
		{
			Name: "process_sandbox.presets", Kind: Names,
			Text: "names of sets of roots. `system_runtime` is what every task has; `developer_toolchains` and `package_manager_config` are Harn's lists of directories, " +
				"as far as they are below the task's `HOME`; `user_temp` is `/tmp`, which every task has. Others are the [operator's presets](operator.md#presets), also under one of these names",
			Absent: "the operator's `default_presets`", Empty: "none", Ceiling: "within those of the ceiling",
			Kernel:   "as roots",
			value:    func(p *Policy) any { return &p.ProcessSandbox.Presets },
			validate: (*Policy).wrongPresets,
			narrow: func(ceiling, result *Policy) error {
				beyond := limitOf(ceiling.process().Presets).beyond(result.ProcessSandbox.Presets, func(a, b string) bool { return a == b })
				if len(beyond) == 0 {
					return nil
				}
				return fmt.Errorf("process_sandbox.presets: %s exceed the operator's ceiling (%s)", quoted(beyond), describeNames(ceiling.process().Presets))
			},
		},
		{
			Name: "process_sandbox.read_roots", Kind: Paths, Role: ReadRole,
			Text:   "to read, list and execute; within a workspace root, they change nothing there",
			Absent: "none", Empty: "none",
			Ceiling: "within those of the ceiling's `process_sandbox`, which are none if absent; without that block as `read_only_roots`",
			Kernel:  "as `read_only_roots`",
			value:   func(p *Policy) any { return &p.ProcessSandbox.ReadRoots },
			limit: func(ceiling *Policy) limit[string] {
				if s := ceiling.ProcessSandbox; s != nil {
					return limit[string]{values: s.ReadRoots}.and(s.WriteRoots)
				}
				return ceiling.readableLimit()
			},
		},
		{
			Name: "process_sandbox.write_roots", Kind: Paths, Role: WorkspaceRole,
			Text:   "more workspace roots, if the task may write: else they are nothing",
			Absent: "none", Empty: "none",
			Ceiling: "within those of the ceiling's `process_sandbox`, which are none if absent; without that block as `workspace_roots`",
			Kernel:  "as `workspace_roots`",
			value:   func(p *Policy) any { return &p.ProcessSandbox.WriteRoots },
			limit: func(ceiling *Policy) limit[string] {
				if s := ceiling.ProcessSandbox; s != nil {
					return limit[string]{values: s.WriteRoots}
				}
				return ceiling.writableLimit()
			},
		},
		{
			Name: "process_sandbox.read_deny_roots", Kind: Paths, Role: DenyRole,
			Text: "the same as `read_deny_roots`", Absent: "none", Empty: "none", Ceiling: "both lists", Kernel: "as `read_deny_roots`",
			value: func(p *Policy) any { return &p.ProcessSandbox.ReadDenyRoots },
		},
		{
			Name: "process_sandbox.allow_tcp_loopback", Kind: Switch,
			Text:   "below level `network`: TCP between the task's own processes, on a loopback of its own. No UDP, and nothing outside of the task",
			Absent: "`false`", Ceiling: "what the ceiling's `process_sandbox` says, if it has that block; a job that says `true` where it says `false` is refused",
			Kernel:   "an empty network namespace; seccomp",
			value:    func(p *Policy) any { return &p.ProcessSandbox.AllowTCPLoopback },
			validate: (*Policy).wrongLoopback,
			narrow: func(ceiling, result *Policy) error {
				if ceiling.ProcessSandbox == nil {
					return nil
				}
				asked := result.ProcessSandbox.AllowTCPLoopback
				result.ProcessSandbox.AllowTCPLoopback = ceiling.ProcessSandbox.AllowTCPLoopback
				if asked && !ceiling.ProcessSandbox.AllowTCPLoopback {
					return errors.New("process_sandbox.allow_tcp_loopback: true exceeds the operator's ceiling (false): leave it out")
				}
				return nil
			},
		},
		{
			Name: "process_sandbox.unix_socket_roots", Kind: Paths, Role: SocketRole, Since: unixSocketsABI,
			Text:   "the same as `unix_socket_roots`",
			Absent: "none", Empty: "none",
			Ceiling: "within those of the ceiling's `process_sandbox`, which are none if absent; without that block as `unix_socket_roots`",
			Kernel:  "as `unix_socket_roots`",
			value:   func(p *Policy) any { return &p.ProcessSandbox.UnixSocketRoots },
			limit: func(ceiling *Policy) limit[string] {
				if s := ceiling.ProcessSandbox; s != nil {
					return limit[string]{values: s.UnixSocketRoots}
				}
				return ceiling.socketLimit()
			},
		},
		{
			Name: "process_sandbox.allow_process_self_introspection", Kind: Switch,
			Text: "nothing: every task lists its own entries of its private `/proc`", Absent: "`false`", Ceiling: "what both allow", Kernel: "nothing",
			value: func(p *Policy) any { return &p.ProcessSandbox.AllowProcessSelfIntrospection },
			narrow: func(ceiling, result *Policy) error {
				if ceiling.ProcessSandbox != nil && !ceiling.ProcessSandbox.AllowProcessSelfIntrospection {
					result.ProcessSandbox.AllowProcessSelfIntrospection = false
				}
				return nil
			},
		},
		{
			Name: "process_sandbox.allow_child_workspace_write", Kind: Switch,
			Text:   "the task may write its workspace, also if `capabilities` say otherwise: they are then for Harn's own virtual machine",
			Absent: "`false`", Ceiling: "refused, unless the ceiling grants all changes of the workspace", Kernel: "the rights of Landlock's rules on the workspace",
			value: func(p *Policy) any { return &p.ProcessSandbox.AllowChildWorkspaceWrite },
			narrow: func(ceiling, result *Policy) error {
				if !result.ProcessSandbox.AllowChildWorkspaceWrite || writeSet&^ceiling.WorkspaceAccess() == 0 {
					return nil
				}
				return fmt.Errorf("process_sandbox.allow_child_workspace_write: writing the workspace exceeds the operator's ceiling (capabilities: %s): leave it out", describeCapabilities(ceiling.Capabilities))
			},
		},
		{
			Name: "process_sandbox.netns_launcher_path", Kind: Text,
			Text: "nothing: the driver makes network namespaces by itself", Absent: "none", Ceiling: "the ceiling's, if it has the block", Kernel: "nothing",
			value: func(p *Policy) any { return &p.ProcessSandbox.NetnsLauncherPath },
			narrow: func(ceiling, result *Policy) error {
				if ceiling.ProcessSandbox != nil {
					result.ProcessSandbox.NetnsLauncherPath = ceiling.ProcessSandbox.NetnsLauncherPath
				}
				return nil
			},
		},
	}
}

func describeNames(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return quoted(names)
}

// maxPresetName is the greatest length of a preset's name in bytes.
const maxPresetName = 63

// union is a list with what another has besides; nil if both are.
func union(list, more []string) []string {
	for _, s := range more {
		if !slices.Contains(list, s) {
			list = append(slices.Clone(list), s)
		}
	}
	return list
}

// CheckPresetName says what is wrong with the name of a preset. It is part of the name of a node's
// attribute.
func CheckPresetName(name string) error {
	if near := nearest(name, HarnPresets); near != "" && !slices.Contains(HarnPresets, name) && near != name {
		return fmt.Errorf("unknown preset %q, did you mean %q?", name, near)
	}
	other := func(r rune) bool { return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyz0123456789-_", r) }
	if name == "" || len(name) > maxPresetName || strings.ContainsFunc(name, other) {
		return fmt.Errorf("unknown preset %q: expected one of Harn's (%s), or a name of the operator's, of lower-case letters, digits, - and _", name, quoted(HarnPresets))
	}
	return nil
}

func (p *Policy) wrongPresets() (problems []string) {
	for i, name := range p.ProcessSandbox.Presets {
		if err := CheckPresetName(name); err != nil {
			problems = append(problems, fmt.Sprintf("[%d]: %v", i, err))
		}
	}
	return problems
}

func (p *Policy) wrongLoopback() []string {
	switch {
	case !p.ProcessSandbox.AllowTCPLoopback:
	case p.PortsLimited():
		return []string{": true is for a task without network, and tcp_connect and tcp_bind are for one with a network: leave one of them out"}
	case p.noLocalIPC() && !p.NetworkAllowed():
		return []string{fmt.Sprintf(": local_ipc = false leaves no sockets at side_effect_level %q: leave one of them out", p.SideEffectLevel)}
	}
	return nil
}

// processNotes say what of process_sandbox comes to nothing.
func (p *Policy) processNotes() (notes []string) {
	s := p.process()
	if s.AllowTCPLoopback && p.NetworkAllowed() {
		notes = append(notes, "process_sandbox.allow_tcp_loopback adds nothing: the task has a network")
	}
	if s.AllowProcessSelfIntrospection {
		notes = append(notes, "process_sandbox.allow_process_self_introspection adds nothing: every task has a /proc of its own")
	}
	if s.NetnsLauncherPath != "" {
		notes = append(notes, "process_sandbox.netns_launcher_path is not used: the driver makes network namespaces by itself")
	}
	if len(s.WriteRoots) > 0 && !p.MayWrite() {
		notes = append(notes, "process_sandbox.write_roots admit nothing: capabilities let the task write nothing")
	}
	return notes
}

// capabilityAccess are the rights on the workspace that capabilities mean.
func capabilityAccess(capabilities map[string][]string) landlock.AccessFS {
	if capabilities == nil {
		return readSet | writeSet
	}
	var access landlock.AccessFS
	for _, op := range capabilities[Workspace] {
		access |= workspaceOperations[op]
	}
	if access == 0 {
		return readSet
	}
	return access
}
