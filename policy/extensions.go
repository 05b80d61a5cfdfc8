// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"github.com/burin-labs/nomad-driver-harn/landlock"
	"github.com/burin-labs/nomad-driver-harn/seccomp"
)

// What this driver's policies have beyond Harn's: ports, UNIX sockets, local
// communication, devices, and a demand on the kernel. A policy that the node
// cannot enforce so is refused: there is no fallback for what a job asks for
// by name.

// Extensions are the fields of a policy that Harn's does not have. All can be
// absent.
type Extensions struct {
	// TCPConnect and TCPBind are the TCP ports that a task may connect to, and
	// listen on. If either is present, the network is TCP on these ports and
	// nothing else; if only one is, there is nothing of the other. Port 0 in
	// TCPBind stands for ports that the kernel chooses.
	TCPConnect []int `codec:"tcp_connect" json:"tcp_connect,omitzero"`
	TCPBind    []int `codec:"tcp_bind" json:"tcp_bind,omitzero"`
	// Egress says which hosts can be connected to, by name. nil is no limit.
	Egress *Egress `codec:"egress" json:"egress,omitzero"`
	// EgressLog has connections that were made listed, beside those that were denied.
	EgressLog bool `codec:"egress_log" json:"egress_log,omitzero"`
	// UnixSocketRoots are files and directories in which a task may connect to
	// UNIX sockets, also without network. Its workspace is one as well if there are
	// others, or a network.
	UnixSocketRoots []string `codec:"unix_socket_roots" json:"unix_socket_roots,omitzero"`
	// LocalIPC leaves a task without network pairs of sockets, sending and receiving
	// on sockets that it has, and, where Landlock mediates them, UNIX sockets of its
	// own. nil stands for true; false is for a task that gets no call of sockets at
	// all. It means nothing at level network.
	LocalIPC *bool `codec:"local_ipc" json:"local_ipc,omitzero"`
	// ReadDenyRoots are files and directories that the task does not reach, whatever grants
	// them. They need not exist.
	ReadDenyRoots []string `codec:"read_deny_roots" json:"read_deny_roots,omitzero"`
	// Protect are files and directories in workspace roots that stay as they are, also if they
	// do not exist. A relative path is meant below each workspace root.
	Protect []string `codec:"protect" json:"protect,omitzero"`
	// Devices are device nodes to read, write and control.
	Devices []string `codec:"devices" json:"devices,omitzero"`
	// MinLandlockABI refuses the task on nodes with an older Landlock.
	MinLandlockABI int `codec:"min_landlock_abi" json:"min_landlock_abi,omitzero"`
}

// The ABIs that the extensions need.
const (
	portsABI       landlock.ABI = 4
	unixSocketsABI landlock.ABI = 9
)

// noLocalIPC reports whether local communication is ruled out.
func (e *Extensions) noLocalIPC() bool { return e.LocalIPC != nil && !*e.LocalIPC }

// PortsLimited reports whether the network is limited to TCP ports.
func (p *Policy) PortsLimited() bool { return p.TCPConnect != nil || p.TCPBind != nil }

// wrongPorts names what is wrong in a list of ports, of which least is the lowest.
func (p *Policy) wrongPorts(ports []int, least int) (problems []string) {
	for i, port := range ports {
		if port < least || port > math.MaxUint16 {
			problems = append(problems, fmt.Sprintf("[%d]: %d is no port, expected %d to %d", i, port, least, math.MaxUint16))
		}
	}
	if ports != nil && !p.NetworkAllowed() {
		problems = append(problems, fmt.Sprintf(": the side_effect_level %q has no network: raise it to %q, or leave the ports out", p.SideEffectLevel, LevelNetwork))
	}
	return problems
}

func (p *Policy) wrongDevices() (problems []string) {
	for i, device := range p.Devices {
		if filepath.Clean(device) != device || !strings.HasPrefix(device, "/dev/") {
			problems = append(problems, fmt.Sprintf("[%d]: %q, expected the path of a device in /dev", i, device))
		}
	}
	return problems
}

// contradictions are fields that rule each other out.
func (p *Policy) contradictions() (problems []string) {
	if p.noLocalIPC() && !p.NetworkAllowed() {
		for _, f := range p.socketRoots() {
			problems = append(problems, fmt.Sprintf("%s: local_ipc = false leaves no sockets at side_effect_level %q: leave one of them out", f.Name, p.SideEffectLevel))
		}
	}
	return slices.Concat(problems, p.egressContradictions(), p.deniedWorkspace())
}

// deniedWorkspace names what read_deny_roots leave nothing of, as far as names tell.
func (p *Policy) deniedWorkspace() (problems []string) {
	workspace := p.WorkspaceRoots
	if len(workspace) == 0 {
		workspace = []string{"."}
	}
	p.Each(func(f *Field) {
		if f.Role != DenyRole {
			return
		}
		for i, deny := range *f.list(p) {
			for _, root := range workspace {
				if landlock.Beneath(deny, root) {
					problems = append(problems, fmt.Sprintf("%s[%d]: %q covers the workspace root %q, of which nothing would be left: name what lies in it", f.Name, i, deny, root))
					break
				}
			}
		}
	})
	return problems
}

type portField struct {
	name  string
	ports []int
}

func (p *Policy) portFields() []portField {
	return []portField{{"tcp_connect", p.TCPConnect}, {"tcp_bind", p.TCPBind}}
}

// reconcile settles, once each field is narrowed, those that depend on others.
func reconcile(ceiling, request, result *Policy) error {
	var problems []error
	if s := result.ProcessSandbox; s != nil && s.AllowTCPLoopback && (result.NetworkAllowed() || result.noLocalIPC()) {
		// With a network it says nothing, and without sockets it is nothing.
		if request.process().AllowTCPLoopback && !result.NetworkAllowed() {
			problems = append(problems, fmt.Errorf("process_sandbox.allow_tcp_loopback: true needs sockets, which the operator's ceiling (%s) denies: leave it out", ceiling.socketsDenied()))
		}
		s.AllowTCPLoopback = false
	}
	if sockets := result.socketRoots(); len(sockets) > 0 && result.noLocalIPC() && !result.NetworkAllowed() {
		// A valid request does not say this alone: one half of it is the ceiling's.
		remedy := "leave them out"
		if !ceiling.noLocalIPC() {
			remedy = "leave them out, or local_ipc = false"
		}
		for _, f := range sockets {
			problems = append(problems, fmt.Errorf("%s: %q need sockets, which the operator's ceiling (%s) denies below side_effect_level %q: %s",
				f.Name, *f.list(result), ceiling.socketsDenied(), LevelNetwork, remedy))
		}
	}
	problems = append(problems, deniedByCeiling(ceiling, result))
	// A valid request that lists ports has a network: so the ceiling took it away.
	if !result.NetworkAllowed() {
		for _, field := range result.portFields() {
			if len(field.ports) > 0 {
				problems = append(problems, fmt.Errorf("%s: %v need side_effect_level %q, which exceeds the operator's ceiling (%q)", field.name, field.ports, LevelNetwork, ceiling.SideEffectLevel))
			}
		}
		result.TCPConnect, result.TCPBind = nil, nil // of no ports, without network
	}
	problems = append(problems, narrowEgress(ceiling, result))
	if ceiling.PortsLimited() && result.NetworkAllowed() {
		if !result.PortsLimited() {
			result.TCPConnect, result.TCPBind = notNil(ceiling.TCPConnect), notNil(ceiling.TCPBind)
		}
		limits := ceiling.portFields()
		for i, field := range result.portFields() {
			problems = append(problems, portsWithin(field, notNil(limits[i].ports)))
		}
	}
	return joinLine(problems)
}

// deniedByCeiling names the request's workspace roots of which a ceiling leaves nothing:
// a valid request does not deny them itself.
func deniedByCeiling(ceiling, result *Policy) error {
	var problems []error
	ceiling.Each(func(f *Field) {
		if f.Role != DenyRole {
			return
		}
		for _, deny := range *f.list(ceiling) {
			for _, root := range result.WorkspaceRoots {
				if landlock.Beneath(deny, root) {
					problems = append(problems, fmt.Errorf("workspace_roots: %q lies in %q, which the operator's ceiling denies (%s): name directories beside it", root, deny, f.Name))
				}
			}
		}
	})
	return joinLine(problems)
}

// socketsDenied is what of a ceiling denies sockets, as its author wrote it.
func (p *Policy) socketsDenied() string {
	var said []string
	if p.noLocalIPC() {
		said = append(said, "local_ipc = false")
	}
	if !p.NetworkAllowed() {
		said = append(said, fmt.Sprintf("side_effect_level = %q", p.SideEffectLevel))
	}
	return strings.Join(said, ", ")
}

func notNil(ports []int) []int { return append([]int{}, ports...) }

// portsWithin checks ports under a ceiling that limits them: an absent list of
// its other direction then admits none.
func portsWithin(field portField, ceiling []int) error {
	beyond := limitOf(ceiling).beyond(field.ports, func(a, b int) bool { return a == b })
	if len(beyond) == 0 {
		return nil
	}
	return fmt.Errorf("%s: %v exceed the operator's ceiling (%v)", field.name, beyond, ceiling)
}

// enforceable checks that a node has what the extensions need.
func (p *Policy) enforceable(node Node) error {
	demand := func(field string, least landlock.ABI) error {
		absent := ""
		if node.Absent != nil {
			absent = fmt.Sprintf(" (%v)", node.Absent)
		}
		return fmt.Errorf("%s needs Landlock ABI %d, this node has %d%s: constrain the job to nodes with ${attr.driver.harn.landlock.abi} >= %d",
			field, least, node.ABI, absent, least)
	}
	var problems []error
	if least := landlock.ABI(p.MinLandlockABI); node.ABI < least {
		problems = append(problems, demand(fmt.Sprintf("min_landlock_abi = %d", p.MinLandlockABI), least))
	}
	p.Each(func(f *Field) {
		switch {
		case f.Since == 0 && !f.Role.takes(), f.Kind == Paths && len(*f.list(p)) == 0, !f.Present(p):
		case p.Profile() == Unrestricted:
			problems = append(problems, errors.New(f.Name+` limits nothing under sandbox_profile "unrestricted": leave one of them out`))
		case node.ABI < f.Since:
			problems = append(problems, demand(f.Name, f.Since))
		}
	})
	return joinLine(problems)
}

// socketGroups are the system calls to deny for what the policy says of
// networks and sockets.
//
// Without a network, UNIX sockets are the task's where Landlock keeps it from those
// of others. A filter sees no paths, and in view are sockets that others made: in
// the allocation's shared directory (sidecars, Consul), in secrets/ (Nomad's own API),
// in roots and volumes. Before that ABI there are pairs of sockets alone.
func (p *Policy) socketGroups(node Node) []*seccomp.Group {
	switch {
	case p.NetworkAllowed() && p.PortsLimited():
		groups := []*seccomp.Group{seccomp.TCPOnly}
		if len(p.TCPBind) == 0 {
			groups = append(groups, seccomp.NoListen)
		}
		return groups
	case p.NetworkAllowed():
		groups := []*seccomp.Group{seccomp.Families}
		if !node.NetAdmin {
			groups = append(groups, seccomp.RoutesOnly)
		}
		if !node.NetRaw {
			groups = append(groups, seccomp.NoRaw)
		}
		return groups
	case p.noLocalIPC():
		return []*seccomp.Group{seccomp.Network}
	case p.LoopbackOnly() && node.ABI >= unixSocketsABI:
		return []*seccomp.Group{seccomp.TCPAndUnix}
	case p.LoopbackOnly():
		return []*seccomp.Group{seccomp.TCPAndPairs}
	case node.ABI >= unixSocketsABI:
		return []*seccomp.Group{seccomp.UnixOnly}
	}
	return []*seccomp.Group{seccomp.LocalIPC}
}

// namesPort is that of name servers.
const namesPort = 53

// portRules are the rules for the ports that the policy lists.
func (p *Policy) portRules() []landlock.PortRule {
	rights := map[int]landlock.AccessNet{}
	for _, port := range p.TCPConnect {
		rights[port] |= landlock.ConnectTCP
	}
	for _, port := range p.TCPBind {
		rights[port] |= landlock.BindTCP
	}
	if p.Egress != nil && p.PortsLimited() {
		rights[namesPort] |= landlock.ConnectTCP // of the name server, which knows names by its rules
	}
	var rules []landlock.PortRule
	for port, access := range rights {
		rules = append(rules, landlock.PortRule{Port: uint16(port), Access: access})
	}
	slices.SortFunc(rules, func(a, b landlock.PortRule) int { return int(a.Port) - int(b.Port) })
	return rules
}
