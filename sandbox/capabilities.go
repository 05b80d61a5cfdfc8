// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package sandbox

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/burin-labs/nomad-driver-harn/policy"
)

// capabilityNames are the capabilities of capabilities(7); the index is the
// number.
var capabilityNames = []string{
	"chown", "dac_override", "dac_read_search", "fowner", "fsetid", "kill", "setgid", "setuid", "setpcap",
	"linux_immutable", "net_bind_service", "net_broadcast", "net_admin", "net_raw", "ipc_lock", "ipc_owner",
	"sys_module", "sys_rawio", "sys_chroot", "sys_ptrace", "sys_pacct", "sys_admin", "sys_boot", "sys_nice",
	"sys_resource", "sys_time", "sys_tty_config", "mknod", "lease", "audit_write", "audit_control", "setfcap",
	"mac_override", "mac_admin", "syslog", "wake_alarm", "block_suspend", "audit_read", "perfmon", "bpf",
	"checkpoint_restore",
}

const (
	allCapabilities = "all"
	netBindService  = 10
)

// parseCapability returns the number of a capability by its name, with or
// without CAP_, in any case.
func parseCapability(name string) (int, error) {
	short := strings.TrimPrefix(strings.ToLower(strings.TrimSpace(name)), "cap_")
	n := slices.Index(capabilityNames, short)
	if n < 0 {
		return 0, fmt.Errorf("unknown capability %q, expected a name of capabilities(7) such as net_bind_service", name)
	}
	return n, nil
}

// parseCapabilities parses a list of names; "all" stands for all.
func parseCapabilities(names []string) ([]int, error) {
	var set []int
	for _, name := range names {
		if strings.EqualFold(strings.TrimSpace(name), allCapabilities) {
			for n := range capabilityNames {
				set = append(set, n)
			}
			continue
		}
		n, err := parseCapability(name)
		if err != nil {
			return nil, err
		}
		set = append(set, n)
	}
	slices.Sort(set)
	return slices.Compact(set), nil
}

// profileCapabilities is decideCapabilities, but that os_hardened has none.
func profileCapabilities(task *Request, allowed []int, p *policy.Policy) ([]int, error) {
	if p.Profile() != policy.OSHardened {
		return decideCapabilities(task, allowed, p.NetworkAllowed())
	}
	if len(task.CapAdd) > 0 {
		return nil, errors.New(`cap_add: there are no capabilities under sandbox_profile "os_hardened": leave it out, or use the profile "worktree"`)
	}
	return decideCapabilities(task, nil, p.NetworkAllowed())
}

// decideCapabilities returns those that a task gets: none, but those that it
// adds and the operator allows. NET_BIND_SERVICE comes by itself if the
// operator allows it, and the task has a network.
func decideCapabilities(task *Request, allowed []int, network bool) ([]int, error) {
	add, err := parseCapabilities(task.CapAdd)
	if err != nil {
		return nil, fmt.Errorf("cap_add: %w", err)
	}
	drop, err := parseCapabilities(task.CapDrop)
	if err != nil {
		return nil, fmt.Errorf("cap_drop: %w", err)
	}
	var beyond []string
	for _, n := range add {
		if !slices.Contains(allowed, n) {
			beyond = append(beyond, capabilityNames[n])
		}
	}
	if len(beyond) > 0 {
		are := "are"
		if len(beyond) == 1 {
			are = "is"
		}
		return nil, fmt.Errorf("cap_add: %s %s not allowed by the operator (plugin option allow_caps: %s)", strings.Join(beyond, ", "), are, describeCapabilities(allowed))
	}
	if network && slices.Contains(allowed, netBindService) {
		add = append(add, netBindService)
	}
	granted := slices.DeleteFunc(add, func(n int) bool { return slices.Contains(drop, n) })
	slices.Sort(granted)
	return slices.Compact(granted), nil
}

func describeCapabilities(set []int) string {
	if len(set) == 0 {
		return "none"
	}
	names := make([]string, len(set))
	for i, n := range set {
		names[i] = capabilityNames[n]
	}
	return strings.Join(names, ", ")
}
