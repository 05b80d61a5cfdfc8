// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/burin-labs/nomad-driver-harn/egress/rule"
	"github.com/burin-labs/nomad-driver-harn/internal/plain"
	"github.com/burin-labs/nomad-driver-harn/landlock"
	"github.com/burin-labs/nomad-driver-harn/seccomp"
)

// Base is what a task finds besides the roots of its policy, as real paths.
type Base struct {
	System    []string // read, list and execute: programs, libraries, configuration
	Scratch   []string // read and write: the private /tmp, /dev/shm and /dev/mqueue
	Servers   []string // those of Scratch in which all sockets are the task's own: its sessions connect to them
	Kernel    []string // read and list: the private /proc, parts of /sys
	Listed    []string // list: the private /dev
	Devices   []Device
	Terminals []string // read, write, list and ioctl: the task's own terminals
	Network   []string // read, if network is allowed: files like /etc/resolv.conf that lie outside of System
	Volumes   []Volume
}

// Device is a device node that a task may open.
type Device struct {
	Path        string
	Read, Write bool
	Ioctl       bool
}

// Volume is a directory or file that a job mounts. It is a workspace root, or
// a read-only root.
type Volume struct {
	Path     string
	ReadOnly bool
}

// Node is what confines tasks on a machine.
type Node struct {
	ABI      landlock.ABI
	Absent   error // why ABI is 0
	Fallback Fallback
	// NetRaw and NetAdmin: the task has the capability of that name, which protocols
	// of the network are for.
	NetRaw, NetAdmin bool
}

// Plan is what the kernel is told to enforce for one task.
type Plan struct {
	Profile Profile
	ABI     landlock.ABI
	Network bool
	// Loopback: there is no network but TCP on a loopback of the task's own.
	Loopback bool
	// Egress are the hosts that can be connected to; nil is no limit. EgressLog has
	// connections listed.
	Egress    *rule.Set
	EgressLog bool
	// Landlock is nil if the task runs without.
	Landlock *landlock.Ruleset
	// Deny are the system calls denied, by group; nil if the task runs without seccomp.
	Deny []*seccomp.Group
	// Warning is for the task's user: something that the policy means is not enforced.
	Warning string
	// Notes are what this kernel cannot enforce.
	Notes []string
	// granted are the rules as the policy has them, before they are merged.
	granted []grant
}

// Reason says why a task can reach a path.
type Reason struct{ Path, Why string }

// Build makes the plan for a valid policy. An error means that the policy
// demands what the node does not have.
func Build(p *Policy, roots Roots, base Base, node Node) (*Plan, error) {
	plan := &Plan{Profile: p.Profile(), ABI: node.ABI, Network: p.NetworkAllowed(), Loopback: p.LoopbackOnly()}
	if err := p.enforceable(node); err != nil {
		return nil, err
	}
	if p.Egress != nil && plan.Network {
		rules := p.Egress.Rules()
		plan.Egress, plan.EgressLog = &rules, p.EgressLog
	}
	if plan.Profile == Unrestricted {
		plan.Warning = "unrestricted: no Landlock and no seccomp"
		return plan, nil
	}
	granted := grants(p, roots, base)
	if node.ABI == 0 {
		if err := plan.withoutLandlock(node); err != nil || plan.Deny == nil {
			return plan, err
		}
	} else {
		plan.Landlock = ruleset(p, granted, node)
	}
	plan.granted = granted
	plan.Deny = []*seccomp.Group{seccomp.Baseline, seccomp.Always}
	if plan.Landlock == nil {
		plan.Deny = append(plan.Deny, seccomp.Mounts)
	}
	if plan.Profile == OSHardened {
		plan.Deny = append(plan.Deny, seccomp.Hardened)
	}
	plan.Deny = append(plan.Deny, p.socketGroups(node)...)
	plan.Notes = notes(p, node)
	return plan, nil
}

// withoutLandlock decides what a node without Landlock means: an error, or no
// confinement at all (Deny stays nil), or seccomp alone.
func (plan *Plan) withoutLandlock(node Node) error {
	absent := node.Absent
	if absent == nil {
		absent = errors.New("Landlock ABI 0")
	}
	switch {
	case plan.Profile == OSHardened:
		return fmt.Errorf(`sandbox_profile "os_hardened" needs Landlock, which this node lacks (%w): constrain the job to nodes with ${attr.driver.harn.landlock.abi} >= 1`, absent)
	case node.Fallback == Off:
		plan.Warning = fmt.Sprintf(`no confinement: this node has no Landlock (%v) and the driver's fallback is "off"`, absent)
	case node.Fallback == Warn:
		plan.Warning = fmt.Sprintf(`no file system confinement, seccomp alone: this node has no Landlock (%v) and the driver's fallback is "warn"`, absent)
		plan.Deny = []*seccomp.Group{}
	default:
		return fmt.Errorf(`sandbox_profile "worktree" needs Landlock, which this node lacks (%w), and the driver's fallback is "enforce": constrain the job to nodes with ${attr.driver.harn.landlock.abi} >= 1`, absent)
	}
	return nil
}

// Rights that Base's lists stand for.
const (
	scratchSet  = readSet | writeSet
	kernelSet   = landlock.ReadFile | landlock.ReadDir
	terminalSet = landlock.ReadFile | landlock.WriteFile | landlock.ReadDir | landlock.IoctlDev
)

func (d Device) access() (access landlock.AccessFS) {
	if d.Read {
		access |= landlock.ReadFile
	}
	if d.Write {
		access |= landlock.WriteFile
	}
	if d.Ioctl {
		access |= landlock.IoctlDev
	}
	return access
}

// ConnectsInWorkspace reports whether the task may connect to what others listen at in
// its workspace. Without network, that would be one by another name. The servers of the
// task itself need no right: they are of its domain.
func (p *Policy) ConnectsInWorkspace() bool {
	return p.WorkspaceAccess()&landlock.WriteFile != 0 && (p.NetworkAllowed() || len(p.UnixSocketRoots) > 0)
}

// grant is a rule, and why there is one.
type grant struct {
	landlock.PathRule
	why string
}

// grants are the rules of a policy, as they stand in it.
func grants(p *Policy, roots Roots, base Base) (all []grant) {
	add := func(why string, paths []string, access landlock.AccessFS, optional bool) {
		for _, path := range paths {
			all = append(all, grant{landlock.PathRule{Path: path, Access: access, Optional: optional}, why})
		}
	}
	workspace := p.WorkspaceAccess()
	if p.ConnectsInWorkspace() {
		workspace |= landlock.ResolveUnix
	}
	workspaceWhy := "workspace_roots"
	if len(p.WorkspaceRoots) == 0 {
		workspaceWhy = "the workspace, as no workspace_roots are named"
	}
	add("programs and libraries (plugin option system_read_roots)", base.System, readSet, true)
	for _, root := range roots.ReadOnly {
		add(cmp.Or(roots.field(root), "read_only_roots"), []string{root}, readSet, false)
	}
	for _, root := range roots.Workspace {
		add(cmp.Or(roots.field(root), workspaceWhy), []string{root}, workspace, false)
	}
	for _, root := range roots.Sockets {
		add(cmp.Or(roots.field(root), "unix_socket_roots"), []string{root}, landlock.ResolveUnix, false)
	}
	add("every task: a private one", base.Scratch, scratchSet, false)
	add("every task: a private one", base.Servers, landlock.ResolveUnix, false)
	add("every task: what programs ask of the kernel", base.Kernel, kernelSet, true)
	add("every task: a private one", base.Listed, landlock.ReadDir, true)
	for _, device := range base.Devices {
		why := "every task: a standard device"
		if slices.Contains(p.Devices, device.Path) {
			why = "devices"
		}
		add(why, []string{device.Path}, device.access(), true)
	}
	add("every task: terminals of its own", base.Terminals, terminalSet, true)
	for _, volume := range base.Volumes {
		access := workspace
		if volume.ReadOnly {
			access = readSet
		}
		add("a volume or a device plugin's mount", []string{volume.Path}, access, false)
	}
	if p.NetworkAllowed() {
		add("network allowed: the lookup of names", base.Network, landlock.ReadFile, true)
	}
	return all
}

// decided are the rights and scopes of which this package says who gets them. A right
// that is handled, and granted by no rule, is denied to every task: so what a newer
// ABI adds is handled only when it stands here.
var decided = landlock.Rights{
	FS:    FullAccess | landlock.IoctlDev | landlock.ResolveUnix,
	Net:   landlock.BindTCP | landlock.ConnectTCP | landlock.BindUDP | landlock.ConnectSendUDP,
	Scope: landlock.ScopeAbstractUnixSocket | landlock.ScopeSignal,
}

func ruleset(p *Policy, granted []grant, node Node) *landlock.Ruleset {
	handled := node.ABI.Rights()
	handled.FS, handled.Net, handled.Scope = handled.FS&decided.FS, handled.Net&decided.Net, handled.Scope&decided.Scope
	set := &landlock.Ruleset{HandledFS: handled.FS, Scoped: handled.Scope}
	if !p.NetworkAllowed() || p.PortsLimited() {
		set.HandledNet = handled.Net
		set.Ports = p.portRules()
	}
	if p.LoopbackOnly() { // ports of the loopback alone, which nobody else has
		set.HandledNet &^= landlock.ConnectTCP | landlock.BindTCP
	}
	rules := make([]landlock.PathRule, len(granted))
	for i, g := range granted {
		rules[i] = g.PathRule
	}
	set.Paths = merge(rules, handled.FS)
	return set
}

// merge masks the rules with what the kernel handles, joins those of the same
// path, and drops those that a rule further up makes superfluous: the kernel
// grants what any rule on the way to the root grants.
func merge(rules []landlock.PathRule, handled landlock.AccessFS) []landlock.PathRule {
	slices.SortStableFunc(rules, func(a, b landlock.PathRule) int { return cmp.Compare(a.Path, b.Path) })
	merged := []landlock.PathRule{}
	for _, rule := range rules {
		rule.Access &= handled
		if n := len(merged); n > 0 && merged[n-1].Path == rule.Path {
			merged[n-1].Access |= rule.Access
			merged[n-1].Optional = merged[n-1].Optional && rule.Optional
			continue
		}
		merged = append(merged, rule)
	}
	granted := make(map[string]landlock.AccessFS, len(merged))
	for _, rule := range merged {
		granted[rule.Path] = rule.Access
	}
	covered := func(rule landlock.PathRule) bool {
		for dir, at := path.Dir(rule.Path), rule.Path; dir != at; dir, at = path.Dir(dir), dir {
			if above, ok := granted[dir]; ok && rule.Access&^above == 0 {
				return true
			}
		}
		return false
	}
	needed := []landlock.PathRule{}
	for _, rule := range merged {
		if !covered(rule) {
			needed = append(needed, rule)
		}
	}
	return needed
}

// Guard takes what guards do not keep away from the rules of a plan with Landlock,
// see [Subtract]. It starts from the policy's own rules: one that another made
// superfluous is needed once that one is gone.
func (plan *Plan) Guard(guards []Guard, list func(dir string) ([]string, error)) ([]Split, error) {
	if len(guards) == 0 {
		return nil, nil
	}
	rules := slices.Clone(plan.Landlock.Paths)
	for _, g := range plan.granted {
		g.Access &= plan.Landlock.HandledFS
		rules = append(rules, g.PathRule)
	}
	paths, splits, err := Subtract(rules, guards, list)
	if err == nil {
		plan.Landlock.Paths = paths
	}
	return splits, err
}

// Reasons say why a confined task can reach what it can, in no order. Paths
// that no rule names, since one further up grants the same, are among them.
func (plan *Plan) Reasons() []Reason {
	reasons := make([]Reason, len(plan.granted))
	for i, g := range plan.granted {
		reasons[i] = Reason{g.Path, g.why}
	}
	return reasons
}

// Confined reports whether the kernel confines the task at all.
func (plan *Plan) Confined() bool { return plan.Landlock != nil || plan.Deny != nil }

// Filter returns the rules of all groups; nil if the task runs without seccomp.
func (plan *Plan) Filter() *seccomp.Filter {
	if plan.Deny == nil {
		return nil
	}
	return seccomp.Combine(plan.Deny...)
}

// Groups names the groups of system calls denied, with the number of rules of
// each: "baseline 18, always 11, local_ipc 7".
func (plan *Plan) Groups() string {
	var groups []string
	for _, group := range plan.Deny {
		groups = append(groups, fmt.Sprintf("%s %d", group.Name, len(group.Entries)))
	}
	return strings.Join(groups, ", ")
}

// missing is what a kernel below an ABI cannot enforce.
var missing = []struct {
	below   landlock.ABI
	network bool // matters only if network is allowed: the rest is denied otherwise
	what    string
}{
	{2, false, "before ABI 2 every rename or link to another directory is denied, also in the workspace"},
	{3, false, "before ABI 3 truncating files by name is not mediated: file permissions alone decide"},
	{5, false, "before ABI 5 ioctl on devices is not mediated"},
	{6, true, "before ABI 6 abstract UNIX sockets are not scoped: the task can connect to those of its network namespace"},
	{9, true, "before ABI 9 connecting to UNIX sockets by path is not mediated: file permissions alone decide"},
}

func notes(p *Policy, node Node) []string {
	var out []string
	for _, m := range missing {
		if node.ABI > 0 && node.ABI < m.below && (!m.network || p.NetworkAllowed()) {
			out = append(out, m.what)
		}
	}
	switch {
	case p.noLocalIPC() && p.NetworkAllowed():
		out = append(out, "local_ipc = false limits nothing at level network")
	case !p.noLocalIPC() && !p.NetworkAllowed() && node.ABI < unixSocketsABI:
		out = append(out, "before ABI 9 there are pairs of sockets, but no UNIX sockets with a path or name: servers within the task cannot listen at one")
	}
	if len(p.TCPBind) > 0 {
		out = append(out, "a socket that listens without a port of its own gets one that the kernel chooses, which no rule for ports sees")
	}
	if p.PortsLimited() && p.Egress == nil {
		out = append(out, "names are looked up by TCP alone: tcp_connect = [53] and the resolver's option use-vc")
	}
	for _, name := range slices.Sorted(maps.Keys(p.Capabilities)) {
		if name != Workspace {
			out = append(out, "capability "+plain.Name(name)+" is not enforced by the kernel")
			continue
		}
		for _, op := range p.Capabilities[name] {
			if workspaceOperations[op] == 0 {
				out = append(out, "operation workspace."+plain.Name(op)+" is not enforced by the kernel")
			}
		}
	}
	return append(out, p.processNotes()...)
}

// String prints the whole plan, for people and for tests.
func (plan *Plan) String() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("profile: %v", plan.Profile)
	line("network: %s", plan.network())
	if plan.Egress != nil {
		line("egress: allow %v, deny %v, others %v, private addresses %v", plan.Egress.Allow, plan.Egress.Deny, plan.Egress.Others, plan.Egress.Private)
	}
	if set := plan.Landlock; set == nil {
		line("landlock: none")
	} else {
		line("landlock: handles fs %v, net %v, scopes %v", set.HandledFS, set.HandledNet, set.Scoped)
		for _, rule := range set.Paths {
			optional := ""
			if rule.Optional {
				optional = " if it exists"
			}
			line("  %s %v%s", plain.Name(rule.Path), rule.Access, optional)
		}
		for _, rule := range set.Ports {
			line("  port %d %v", rule.Port, rule.Access)
		}
	}
	if plan.Deny == nil {
		line("seccomp: none")
	}
	for _, group := range plan.Deny {
		line("seccomp: %s denies %v", group.Name, group)
	}
	if plan.Warning != "" {
		line("warning: %s", plan.Warning)
	}
	for _, note := range plan.Notes {
		line("note: %s", note)
	}
	return b.String()
}

// Summary says in one line what confines the task, what matters to its user first.
func (plan *Plan) Summary() string {
	parts := []string{"profile " + plan.Profile.String()}
	switch {
	case plan.Egress == nil:
	case plan.Egress.Others:
		parts = append(parts, fmt.Sprintf("network of all hosts except what %d rules deny", len(plan.Egress.Deny)))
	default:
		parts = append(parts, fmt.Sprintf("network of the hosts that %d rules name", len(plan.Egress.Allow)))
	}
	switch {
	case plan.Network && plan.Landlock != nil && plan.Landlock.HandledNet != 0:
		parts = append(parts, fmt.Sprintf("network limited to %d TCP ports", len(plan.Landlock.Ports)))
	case plan.Egress != nil:
	case plan.Network:
		parts = append(parts, "network allowed")
	case plan.Loopback:
		parts = append(parts, "network: a loopback of its own, TCP")
	default:
		parts = append(parts, "network denied")
	}
	if plan.Landlock != nil {
		parts = append(parts, fmt.Sprintf("Landlock ABI %d with %d rules", plan.ABI, len(plan.Landlock.Paths)))
	}
	if plan.Deny != nil {
		parts = append(parts, fmt.Sprintf("system calls denied (%s)", plan.Groups()))
	}
	return strings.Join(parts, ", ")
}

func (plan *Plan) network() string {
	switch {
	case plan.Network:
		return "allowed"
	case plan.Loopback:
		return "a loopback of the task's own, TCP"
	}
	return "denied"
}
