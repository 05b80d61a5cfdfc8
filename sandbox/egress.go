// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package sandbox

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/egress"
	egressrule "github.com/burin-labs/nomad-driver-harn/egress/rule"
	"github.com/burin-labs/nomad-driver-harn/landlock"
	"github.com/burin-labs/nomad-driver-harn/policy"
)

// Egress is the network of a task that reaches what its rules name, and nothing else.
// Who starts the task makes it: see package egress.
type Egress struct {
	Rules egressrule.Set
	// Ports, if not nil, are all that the task may connect to, whatever the rules say.
	Ports []uint16
	// Published are the node's ports that are the task's.
	Published []netip.AddrPort
	// Log: connections that were made are listed.
	Log bool
	// follow is the file by which the forwarder follows how the node looks names up, "" if
	// nobody keeps one.
	follow string
	// variables are those of environment.
	variables map[string]string
}

// checkEgress says why a task cannot have the egress that its policy says, or must have
// some.
func checkEgress(settings *Settings, effective *policy.Policy, task *Task) error {
	if effective.Egress == nil {
		if settings.EgressRequired && effective.NetworkAllowed() {
			return fmt.Errorf("capability_policy: egress: the operator requires a block egress of tasks with a network (plugin option egress_required): name the hosts, or set side_effect_level = %q for none", policy.LevelProcessExec)
		}
		return nil
	}
	switch {
	case settings.EgressRequired && namesAll(effective.Egress.Rules()):
		return errors.New(`capability_policy: egress: the operator requires that the hosts are named (plugin option egress_required), and default = "allow", or a range of addresses wider than a /8 (IPv6: /16), names none: leave it out`)
	case task.NetworkNamespace != "":
		return errors.New(`capability_policy: egress: the group's network gives the task the network namespace of its allocation (mode = "bridge", CNI or Connect), and egress one of its own: leave egress out, or use network { mode = "host" }, whose ports are forwarded to the task`)
	case task.DNS != nil:
		return errors.New("capability_policy: egress: the group's dns block names name servers, and with egress it is the node that looks names up: leave one of them out")
	}
	return nil
}

// Ranges of addresses that are wider name no hosts any more: a few of them would be all.
const widest4, widest6 = 8, 16

// namesAll reports whether rules admit whatever they do not name, or name ranges so wide
// that it comes to the same.
func namesAll(rules egressrule.Set) bool {
	return rules.Others || slices.ContainsFunc(rules.Allow, func(r egressrule.Rule) bool {
		return r.Addresses.IsValid() && (r.Addresses.Bits() < widest4 || r.Addresses.Addr().Is6() && r.Addresses.Bits() < widest6)
	})
}

// beyondEgress are capabilities by which a task could change its network, or get
// another one.
var beyondEgress = []int{unix.CAP_NET_ADMIN, unix.CAP_NET_RAW, unix.CAP_SYS_ADMIN, unix.CAP_SYS_PTRACE, unix.CAP_SYS_MODULE, unix.CAP_BPF}

// leastPids is the least limit of processes and threads with which a task has a network:
// forwarders and their keepers have up to 20, and a task some of its own.
const leastPids = 32

// planEgress says what the task's network is to have.
func (s *Sandbox) planEgress(task *Task) error {
	if s.Policy.Egress == nil {
		return nil
	}
	for _, n := range s.capabilities {
		if slices.Contains(beyondEgress, n) {
			return fmt.Errorf("cap_add: %s lets a task change its network, or leave it: leave it out, or egress", capabilityNames[n])
		}
	}
	if !s.Policy.Confined() {
		return fmt.Errorf("capability_policy: egress: %s", s.Policy.Warning)
	}
	if limit := s.Cgroup.Pids; limit != 0 && limit < leastPids {
		option := "pids_limit"
		if s.request.PidsLimit == 0 {
			option = "plugin option pids_limit"
		}
		return fmt.Errorf("%s: %d leaves no room for the processes that make the connections of a task with egress, and count with the task's: it takes %d at least", option, limit, leastPids)
	}
	s.Egress = &Egress{Rules: *s.Policy.Egress, Published: task.Ports, Log: s.Policy.EgressLog}
	if s.effective.PortsLimited() {
		s.Egress.Ports = []uint16{}
		for _, port := range s.effective.TCPConnect {
			s.Egress.Ports = append(s.Egress.Ports, uint16(port))
		}
	}
	if s.Egress.variables = s.Egress.environment(); s.Egress.variables == nil {
		s.Policy.Notes = append(s.Policy.Notes, "HARN_EGRESS_ALLOW, HARN_EGRESS_DENY and HARN_EGRESS_DEFAULT are not set: the list of hosts is longer than a variable can be")
	}
	if dir := task.Dirs.HostFiles; dir != "" {
		s.Egress.follow = filepath.Join(dir, resolverFile)
	}
	return nil
}

// egressDNS is the resolv.conf(5) of a task with egress. Where there is TCP alone, names
// are looked up by that.
func egressDNS(p *policy.Policy) string {
	conf := "nameserver 127.0.0.1\noptions ndots:1\n"
	if p.PortsLimited() {
		conf += "options use-vc\n"
	}
	return conf
}

// egressHosts is the hosts(5) of a task with egress: addresses of the host's file are
// ones that it has no route to, and it looks these names up by its name server, as it does
// the node's own if a rule admits that.
func egressHosts(rules egressrule.Set) string {
	text := "127.0.0.1\tlocalhost"
	if own, err := os.Hostname(); err == nil {
		if name, ok := egressrule.Name(own); ok && name != "localhost" && !rules.Lookup(name).Admitted {
			text += " " + name
		}
	}
	return text + "\n::1\tlocalhost ip6-localhost ip6-loopback\n"
}

// Open makes the network. The files take events, as lines of JSON: see
// [egress.Config]; connections is nil if they are not to be logged.
func (e *Egress) Open(abi landlock.ABI, reports, connections *os.File) (*egress.Network, error) {
	resolver, err := egress.NodeResolver()
	if err != nil {
		return nil, err
	}
	c := &egress.Config{Rules: e.Rules, Ports: e.Ports, Published: e.Published, Resolver: resolver, Reports: reports, Connections: connections, ABI: abi}
	if e.follow != "" {
		// Without it, the task has the node's names as they are now.
		if c.Follow, err = os.Open(e.follow); err == nil {
			defer c.Follow.Close()
		}
	}
	return egress.Open(c)
}

// maxVariable is MAX_ARG_STRLEN of linux/binfmts.h for pages of 4 KiB: the bytes of a
// variable, with its name, "=" and the NUL at its end.
const maxVariable = 32 * 4096

// environment are Harn's variables for the same rules, so that a Harn in the task says
// no by itself to what it would not reach. They are none if a list is longer than a
// variable can be.
func (e *Egress) environment() map[string]string {
	list := func(rules []egressrule.Rule) string {
		var texts []string
		for _, r := range rules {
			texts = append(texts, r.String())
		}
		return strings.Join(texts, ",")
	}
	env := map[string]string{
		"HARN_EGRESS_ALLOW": list(e.Rules.Allow), "HARN_EGRESS_DENY": list(e.Rules.Deny),
		// The forwarder looks at the addresses: those that the task sees are synthetic ones,
		// which Harn would take for private.
		"HARN_EGRESS_DEFAULT": policy.EgressDeny, "HARN_EGRESS_BLOCK_PRIVATE": "off",
	}
	if e.Rules.Others {
		env["HARN_EGRESS_DEFAULT"] = policy.EgressAllow
	}
	for name, value := range env {
		if len(name)+len("=")+len(value) >= maxVariable {
			return nil
		}
	}
	return env
}

// Variables are those that the sandbox adds to a task's environment, where the job does
// not set them.
func (s *Sandbox) Variables() map[string]string {
	if s.Egress == nil {
		return nil
	}
	return s.Egress.variables
}

// addVariables adds variables that are not there.
func addVariables(env, more map[string]string) {
	for name, value := range more {
		if _, ok := env[name]; !ok {
			env[name] = value
		}
	}
}
