// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package sandbox

import (
	"net/netip"

	"github.com/burin-labs/nomad-driver-harn/policy"
)

// Host is what is the same for all tasks that start now.
type Host struct {
	// Node is what the kernel can enforce. Its Fallback is the settings' own.
	Node policy.Node
	// Agent are the files and directories of the agent that places the tasks: see
	// [AgentPaths].
	Agent []AgentPath
	// Cores is how many cores the node has, 0 if that is not known.
	Cores int
}

// Task is what is known of a task beside its request: what who has placed it has
// made for it, and gives to it.
type Task struct {
	Dirs Dirs
	// User is the name of who it runs as; "" for the default.
	User string
	// Env is the environment that the agent gives, with its own variables in it.
	Env    map[string]string
	Mounts []Mount
	// Destinations are those of mounts whose sources are not known: see [Explain].
	Destinations []Mount
	Devices      []DeviceMount
	// DNS is a resolv.conf of the task's own; nil for the host's.
	DNS *DNS
	// NetworkNamespace is the path of a network namespace to join, which counts if
	// the policy admits the network; "" for the host's.
	NetworkNamespace string
	// Ports are those of the node that are the task's: they count with egress, where the
	// task has none of its own.
	Ports     []netip.AddrPort
	Resources Resources
	// Cgroups are the directories of the cgroups to join, OwnCgroup the one of them
	// in which no other task is; "" if there are none.
	Cgroups   []string
	OwnCgroup string
}
