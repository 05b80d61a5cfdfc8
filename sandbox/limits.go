// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package sandbox

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/executor"
	"github.com/burin-labs/nomad-driver-harn/policy"
)

// resourceLimits are the limits of setrlimit(2), by the names of limits.conf(5).
var resourceLimits = map[string]int{
	"as":         unix.RLIMIT_AS,
	"core":       unix.RLIMIT_CORE,
	"cpu":        unix.RLIMIT_CPU,
	"data":       unix.RLIMIT_DATA,
	"fsize":      unix.RLIMIT_FSIZE,
	"locks":      unix.RLIMIT_LOCKS,
	"memlock":    unix.RLIMIT_MEMLOCK,
	"msgqueue":   unix.RLIMIT_MSGQUEUE,
	"nice":       unix.RLIMIT_NICE,
	"nofile":     unix.RLIMIT_NOFILE,
	"nproc":      unix.RLIMIT_NPROC,
	"rss":        unix.RLIMIT_RSS,
	"rtprio":     unix.RLIMIT_RTPRIO,
	"rttime":     unix.RLIMIT_RTTIME,
	"sigpending": unix.RLIMIT_SIGPENDING,
	"stack":      unix.RLIMIT_STACK,
}

// parseLimits turns a task's ulimit block into limits. A value is "soft:hard",
// or one for both; "unlimited" or "-1" is no limit. A task cannot have more
// than the agent has.
func parseLimits(ulimit map[string]string) ([]executor.Limit, error) {
	var limits []executor.Limit
	for _, name := range slices.Sorted(maps.Keys(ulimit)) {
		resource, ok := resourceLimits[name]
		if !ok {
			return nil, fmt.Errorf("ulimit: unknown limit %q, expected one of %s", name, strings.Join(slices.Sorted(maps.Keys(resourceLimits)), ", "))
		}
		value := ulimit[name]
		soft, hard, two := strings.Cut(value, ":")
		if !two {
			hard = soft
		}
		limit := executor.Limit{Resource: resource}
		var err error
		if limit.Soft, err = parseLimit(soft); err == nil {
			limit.Hard, err = parseLimit(hard)
		}
		if err != nil {
			return nil, fmt.Errorf("ulimit: %s = %q: %w", name, value, err)
		}
		if limit.Soft > limit.Hard {
			return nil, fmt.Errorf("ulimit: %s = %q: the soft limit is above the hard one", name, value)
		}
		var agents unix.Rlimit
		if err := unix.Getrlimit(resource, &agents); err != nil {
			return nil, fmt.Errorf("ulimit: %s: %w", name, err)
		}
		if limit.Hard > agents.Max {
			return nil, fmt.Errorf("ulimit: %s = %q exceeds the agent's own hard limit, %d", name, value, agents.Max)
		}
		limits = append(limits, limit)
	}
	return limits, nil
}

func parseLimit(s string) (uint64, error) {
	if s == "unlimited" || s == "-1" {
		return unix.RLIM_INFINITY, nil
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not a number, expected SOFT:HARD, one number for both, or unlimited", s)
	}
	return n, nil
}

// noCore is a core dump of at most 1 byte: there is none. With 0, the kernel
// would still have the program that /proc/sys/kernel/core_pattern may name read
// the task's memory, as root on the host, core(5). A socket that it may name is not
// kept from it by a limit: see the executor.
const noCore = 1

// limitCore lets a confined task have core dumps only if it asks for them, and
// none under os_hardened.
func limitCore(limits []executor.Limit, profile policy.Profile) ([]executor.Limit, error) {
	if profile == policy.Unrestricted {
		return limits, nil
	}
	none := executor.Limit{Resource: unix.RLIMIT_CORE, Soft: noCore, Hard: noCore}
	i := slices.IndexFunc(limits, func(l executor.Limit) bool { return l.Resource == unix.RLIMIT_CORE })
	switch {
	case i < 0:
		return append(limits, none), nil
	case limits[i].Hard <= noCore: // 0 is what job authors write for none
	case profile != policy.OSHardened:
		return limits, nil
	default:
		return nil, errors.New(`ulimit: core: there are no core dumps under sandbox_profile "os_hardened": leave it out, or set it to 0`)
	}
	limits[i] = none
	return limits, nil
}
