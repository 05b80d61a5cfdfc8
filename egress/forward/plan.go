// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package forward

import (
	"net/netip"
	"time"

	"github.com/burin-labs/nomad-driver-harn/egress/rule"
)

// Plan is all that a forwarder needs to know. It is plain data.
type Plan struct {
	Rules rule.Set `json:"rules"`
	// Ports are all that the task may connect to; nil for any, empty for none.
	Ports []uint16 `json:"ports,omitzero"`
	// IPv6 says whether the task's namespace has it.
	IPv6 bool `json:"ipv6"`
	// Synthetic4 and Synthetic6 are the ranges that names get addresses from.
	Synthetic4 netip.Prefix `json:"synthetic4"`
	Synthetic6 netip.Prefix `json:"synthetic6"`
	// Key is what decides which name gets which address. A forwarder that is started
	// again has the same.
	Key []byte `json:"key"`
	// Resolver says how names are looked up on the node's side.
	Resolver Resolver `json:"resolver"`
	// FollowsNode: ResolverFD is a file that says so as well, and changes with the node.
	FollowsNode bool `json:"follows_node,omitempty"`
	// LogConnections: connections are reported as well.
	LogConnections bool `json:"log_connections,omitempty"`
	// Inward, if not nil, makes this a forwarder of the other direction: into the
	// task's namespace, without names and rules.
	Inward []Inward `json:"inward,omitempty"`
	// Filter is a seccomp program that the forwarder enters when it has begun.
	Filter []byte `json:"filter,omitempty"`
}

// Inward is a port of the node's that is the task's.
type Inward struct {
	Socket int            `json:"socket"` // the descriptor of the listening socket
	To     netip.AddrPort `json:"to"`
}

// Resolver says how names are looked up: what resolv.conf(5) and hosts(5) of the node
// have. Names are whole: no search list is tried.
type Resolver struct {
	Servers  []netip.AddrPort        `json:"servers"`
	Timeout  time.Duration           `json:"timeout"`
	Attempts int                     `json:"attempts"`
	Hosts    map[string][]netip.Addr `json:"hosts,omitempty"`
}

// The limits of one forwarder.
const (
	// mostNames is how many names have addresses at the same time.
	mostNames = 2048
	// mostConnections is how many are open at the same time; further ones wait.
	mostConnections = 4096
	// mostStreams is how many connections the name server has.
	mostStreams = 32
	// mostCached is how many names' addresses are remembered.
	mostCached = 256
)
