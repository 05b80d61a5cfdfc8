// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/burin-labs/nomad-driver-harn/internal/plain"
)

// rows is the table, made when it is first asked for.
var rows struct {
	once   sync.Once
	fields []Field
}

// Fields are all fields of a policy, in the order in which documents have them. Nobody may
// change them.
func Fields() []Field {
	rows.once.Do(func() { rows.fields = table() })
	return rows.fields
}

// table says all that there is to say of each field. A new one is a row here and a member of
// [Policy]; what it does is for [Build] and for who makes the task's view.
func table() []Field {
	return []Field{
		{
			Name: "sandbox_profile", Kind: Word,
			Text: "`unrestricted` < `worktree` < `os_hardened`. [`os_hardened`](../README.md#what-os_hardened-adds) is refused without Landlock, " +
				"whatever the fallback; `unrestricted` has neither Landlock nor seccomp, and is for operators to allow",
			Absent: "`worktree`", Ceiling: "the stricter one", Kernel: "which groups of system calls are denied",
			value:    func(p *Policy) any { return &p.SandboxProfile },
			validate: func(p *Policy) []string { return wrongName(p.SandboxProfile, ParseProfile) },
			narrow: func(ceiling, result *Policy) error {
				result.SandboxProfile = max(ceiling.Profile(), result.Profile()).String()
				return nil
			},
		},
		{
			Name: "side_effect_level", Kind: Word,
			Text: "`none` < `read_only` < `workspace_write` < `process_exec` < `network` < `desktop_control`. Below `network` there is no network; above it is no more to a process. " +
				"**Nothing else depends on it**: under `none` and `read_only`, too, a task writes to its workspace and executes programs, as in Harn. " +
				"`capabilities` and roots decide on that",
			Absent: "no limit", Ceiling: "the lower one", Kernel: "seccomp, an empty network namespace, Landlock's ports",
			value:    func(p *Policy) any { return &p.SideEffectLevel },
			validate: func(p *Policy) []string { return wrongName(p.SideEffectLevel, ParseLevel) },
			narrow: func(ceiling, result *Policy) error {
				if level, limited := ceiling.Level(); limited {
					if own, ok := result.Level(); !ok || level < own {
						result.SideEffectLevel = level.String()
					}
				}
				return nil
			},
		},
		{
			Name: "workspace_roots", Kind: Paths, Role: WorkspaceRole,
			Text:   "files and directories to read and write, as far as `capabilities` go; relative ones join the task directory",
			Absent: "the task's own directories", Empty: "the same in a job, as the task's event says; none but these in a ceiling", Ceiling: "within those of the ceiling",
			Kernel: "mounts; Landlock's rules",
			value:  func(p *Policy) any { return &p.WorkspaceRoots },
			limit:  (*Policy).writableLimit,
		},
		{
			Name: "read_only_roots", Kind: Paths, Role: ReadRole,
			Text:   "to read, list and execute; never written, whatever the capabilities, the default of `workspace_roots` and presets say; what another field names to be written is refused",
			Absent: "none", Empty: "none", Ceiling: "within those of the ceiling, or its `workspace_roots`",
			Kernel: "read-only mounts; Landlock's rules",
			value:  func(p *Policy) any { return &p.ReadOnlyRoots },
			limit:  (*Policy).readableLimit,
		},
		{
			Name: "read_deny_roots", Kind: Paths, Role: DenyRole,
			Text: "files and directories that the task does not reach, whatever grants them, also if they appear later. [Harn's 28 places of credentials](security.md#credentials-in-homes) " +
				"below every home that a root shows are denied besides. [The price](#what-stays-closed-or-as-it-is)",
			Absent: "none", Empty: "none", Ceiling: "both lists", Kernel: "covering mounts; Landlock, which grants what lies beside",
			value: func(p *Policy) any { return &p.ReadDenyRoots },
		},
		{
			Name: "protect", Kind: Paths, Role: ProtectRole,
			Text: "files and directories in workspace roots that stay as they are, as `[\".git/hooks\", \".mcp.json\"]`, also if they do not exist: then they cannot be made. " +
				"A relative path is meant below each workspace root, those of presets and writable volumes among them. [The price](#what-stays-closed-or-as-it-is)",
			Absent: "none", Empty: "none", Ceiling: "both lists", Kernel: "read-only mounts; Landlock, which grants what lies beside",
			value: func(p *Policy) any { return &p.Protect },
		},
		{
			Name: "tcp_connect", Kind: Ports, Since: portsABI,
			Text: "TCP ports to connect to, as `[443]`. With either of `tcp_connect` and `tcp_bind`, the network is TCP on these ports and nothing else: no UDP, " +
				"so names are looked up by TCP (`tcp_connect = [53, 443]`, `dns { options = [\"use-vc\"] }`) or in `/etc/hosts`",
			Absent: "any, unless there is `tcp_bind`", Empty: "none", Ceiling: "within those of the ceiling", Kernel: "Landlock's ports; seccomp, which leaves TCP alone",
			value:    func(p *Policy) any { return &p.TCPConnect },
			validate: func(p *Policy) []string { return p.wrongPorts(p.TCPConnect, 1) },
		},
		{
			Name: "tcp_bind", Kind: Ports, Since: portsABI,
			Text:   "TCP ports to listen on, likewise; port 0 stands for ports that the kernel chooses. Where the list is not empty, a socket that listens without bind(2) gets such a port, too: no rule of the kernel sees that",
			Absent: "any, unless there is `tcp_connect`", Empty: "none", Ceiling: "within those of the ceiling", Kernel: "Landlock's ports; seccomp, which leaves TCP alone",
			value:    func(p *Policy) any { return &p.TCPBind },
			validate: func(p *Policy) []string { return p.wrongPorts(p.TCPBind, 0) },
		},
		{
			Name: "egress", Kind: Block, Members: egressFields(),
			Text:   "with this block, the task reaches the hosts that it names by TCP, and nothing else: see [egress](#egress)",
			Absent: "no limit at level `network`", Ceiling: "see its members; a job without the block has the ceiling's",
			value: func(p *Policy) any { return &p.Egress },
		},
		{
			Name: "egress_log", Kind: Switch,
			Text:   "list the connections that were made, too: `alloc/logs/TASK.egress.ndjson` has two lines for each, at its beginning (`open`) and its end: time, name, address, port, bytes, duration; up to 16 MiB",
			Absent: "`false`", Ceiling: "`true` for all, if it is", Kernel: "nothing: the forwarder writes it",
			value: func(p *Policy) any { return &p.EgressLog },
			narrow: func(ceiling, result *Policy) error {
				result.EgressLog = result.EgressLog || ceiling.EgressLog
				return nil
			},
		},
		{
			Name: "unix_socket_roots", Kind: Paths, Role: SocketRole, Since: unixSocketsABI,
			Text:   "directories and files where the task may connect to UNIX sockets of others, also without network (then the workspace is one as well)",
			Absent: "none", Empty: "none", Ceiling: "within those of the ceiling", Kernel: "Landlock's rules",
			value: func(p *Policy) any { return &p.UnixSocketRoots },
			limit: (*Policy).socketLimit,
		},
		{
			Name: "local_ipc", Kind: Choice,
			Text: "below level `network`: pairs of sockets, sending and receiving on sockets that the task has. From Landlock ABI 9 on (Linux 7.1) also UNIX " +
				"sockets: servers of the task itself, at any path that it can write and any abstract name; of others only those that `unix_socket_roots` names. " +
				"A session reaches the task's servers in `/dev/shm`, and in `/tmp` and `/run` unless a root or a volume lies there, or, of `/tmp`, in a task directory that `workspace_roots` do not name whole. `false`: no call of sockets at all. It means nothing at level `network`",
			Absent: "`true`", Ceiling: "`false` takes it from all", Kernel: "seccomp",
			value: func(p *Policy) any { return &p.LocalIPC },
			narrow: func(ceiling, result *Policy) error {
				if !ceiling.noLocalIPC() {
					return nil
				}
				said := result.LocalIPC
				result.LocalIPC = new(false)
				if said != nil && *said {
					return errors.New("local_ipc: true exceeds the operator's ceiling (false): leave it out")
				}
				return nil
			},
		},
		{
			Name: "devices", Kind: Devices,
			Text:   "devices to read, write and control, as `[\"/dev/kvm\"]`, if the operator allows them",
			Absent: "none", Empty: "none", Ceiling: "within the plugin option `devices`", Kernel: "nodes in a private `/dev`; Landlock's rules",
			value:    func(p *Policy) any { return &p.Devices },
			validate: (*Policy).wrongDevices,
			limit:    (*Policy).deviceLimit,
		},
		{
			Name: "min_landlock_abi", Kind: Number,
			Text:   "refuse the task on nodes with less",
			Absent: "0", Ceiling: "the higher one", Kernel: "nothing: the driver compares it",
			value: func(p *Policy) any { return &p.MinLandlockABI },
			validate: func(p *Policy) []string {
				if p.MinLandlockABI < 0 {
					return []string{fmt.Sprintf(": %d, expected 0 or more", p.MinLandlockABI)}
				}
				return nil
			},
			narrow: func(ceiling, result *Policy) error {
				result.MinLandlockABI = max(result.MinLandlockABI, ceiling.MinLandlockABI)
				return nil
			},
		},
		{
			Name: "capabilities", Kind: Operations,
			Text: "operations by capability, as a block or a map. `workspace` takes `read_text`, `list`, `exists` (any of them: read, list, execute), " +
				"`write_text` (all changes, also to remove and rename, as in Harn), `delete` (to remove, alone). If none of these is granted, the workspace can be read. Other names are accepted, " +
				"and shown as not enforced by the kernel, as are operations with a scope (`write_text@plan`). In JSON, as Harn writes it, `{}` is no limit, and `\"capabilities_restricted\": true` beside it none granted",
			Absent: "no limit: read and write the workspace", Empty: "read the workspace", Ceiling: "each operation within the ceiling's", Kernel: "the rights of Landlock's rules on the workspace",
			value:    func(p *Policy) any { return &p.Capabilities },
			validate: (*Policy).wrongOperations,
			narrow:   intersectCapabilities,
		},
		{
			Name: "process_sandbox", Kind: Block, Members: processRows(),
			Text:   "what Harn says of processes alone, as in its own policies. A task is a process: it has what this block and the other fields grant",
			Absent: "nothing", Ceiling: "member by member",
			value: func(p *Policy) any { return &p.ProcessSandbox },
		},
	}
}

// wrongName is the problem of a name that parse does not know.
func wrongName[T any](name string, parse func(string) (T, error)) []string {
	if name == "" {
		return nil
	}
	if _, err := parse(name); err != nil {
		return []string{": " + err.Error()}
	}
	return nil
}

// wrongOperations names what is wrong in capabilities.
func (p *Policy) wrongOperations() (problems []string) {
	for _, name := range slices.Sorted(maps.Keys(p.Capabilities)) {
		for i, op := range p.Capabilities[name] {
			if err := validateOperation(name, op); err != nil {
				problems = append(problems, fmt.Sprintf(".%s[%d]: %v", plain.Name(name), i, err))
			}
		}
		if name == "" {
			problems = append(problems, ": a capability without a name")
		} else if near := nearest(name, []string{Workspace}); near != "" && near != name {
			problems = append(problems, fmt.Sprintf(": unknown capability %q, did you mean %q?", name, near))
		}
	}
	return problems
}
