// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package main

import "math"

// targets are what the project wants to reach, as numbers of one run. floor is
// the same number of a driver that does the least, or of a program that enters a
// filter which allows everything, where there is one: what that does not reach, no
// driver does.
var targets = []struct {
	name         string
	limit        float64
	atLeast      bool // the limit is the least, not the most
	value, floor func(*report) float64
}{
	{"start through an agent, of raw_exec's", 0.55, false, ratio(agentStart, harn, rawExec), ratio(agentStart, floor, rawExec)},
	{"the same with own logs", 0.55, false, ratio(agentStart, ownLogs, rawExec), ratio(agentStart, floorNoLogs, rawExec)},
	{"StartTask through gRPC, of raw_exec's", 0.25, false, ratio(grpcStart, harn, rawExec), ratio(grpcStart, floor, rawExec)},
	{"StartTask through gRPC, ms", 10, false, value(grpcStart, harn), value(grpcStart, floor)},
	{"allocations a second, of the faster one's of raw_exec and exec", 1, true, rate(harn), rate(floor)},
	{"the same with own logs", 1, true, rate(ownLogs), rate(floorNoLogs)},
	{"private memory per task, of raw_exec's executor", 0.1, false, ratio(privateMemory, harn, rawExec), nil},
	{"private memory per task, kB", 1536, false, value(privateMemory, harn), nil},
	{"idle CPU per 100 tasks, percent of a core", 0.1, false, value(idleCPUQuiet, harn), nil},
	{"the same with stats every second", 0.1, false, value(idleCPU, harn), value(idleCPU, floor)},
	{"getpid under worktree, of unconfined", 1.08, false, ratio("getpid", worktree, unconfined), ratio("getpid", bareFilter, unconfined)},
	{"getpid under os_hardened, of unconfined", 1.08, false, ratio("getpid", osHardened, unconfined), ratio("getpid", bareFilter, unconfined)},
	{"read under worktree, of unconfined", 1.08, false, ratio("read of 4 KiB", worktree, unconfined), ratio("read of 4 KiB", bareFilter, unconfined)},
	{"openat+close under worktree, of the same rules by a C program", 1.05, false, ratio(shallowOpen, worktree, bareLaunch), nil},
	{"the same, 20 directories deep", 1.05, false, ratio(deepOpen, worktree, bareLaunch), nil},
	{"openat+close with 50 more roots, of without", 1.05, false, func(r *report) float64 {
		return r.ratio(rootsOpen, worktree, shallowOpen, worktree)
	}, func(r *report) float64 { return r.ratio(rootsOpen, unconfined, shallowOpen, unconfined) }},
	{"go build under worktree, of unconfined", 1.05, false, ratio(build, worktree, unconfined), nil},
	{"go build under os_hardened, of unconfined", 1.05, false, ratio(build, osHardened, unconfined), nil},
	{"run of /bin/true, of bubblewrap's", 2, false, ratio(runTrue, harnRun, bubblewrap), nil},
	{"explain of a policy, of bubblewrap's run", 2, false, func(r *report) float64 { return r.ratio(question, harnExplain, runTrue, bubblewrap) }, nil},
	{"start with egress, ms more than without", 2, false, func(r *report) float64 { return r.median(egressStart, byName) - r.median(egressStart, directly) }, nil},
	{"first answer with egress, ms more than without", 1, false, func(r *report) float64 { return r.median(egressFirst, byName) - r.median(egressFirst, directly) }, nil},
	{"one stream with egress, of without", 0.7, true, ratio(egressStream, byName, directly), nil},
	{"one stream with egress, of a proxy's", 2, true, ratio(egressStream, byName, byProxy), nil},
	{"start latency with most tasks, of that with fewest", 1.5, false, func(r *report) float64 {
		few, many := r.ends(scaleStart, harn)
		return many / few
	}, nil},
	{"recovery of most tasks, s", 2, false, func(r *report) float64 {
		_, many := r.ends(scaleRecover, harn)
		return many
	}, nil},
}

func ratio(name, of, to string) func(*report) float64 {
	return func(r *report) float64 { return r.ratio(name, of, name, to) }
}

func value(name, of string) func(*report) float64 {
	return func(r *report) float64 { return r.median(name, of) }
}

// rate is how many allocations a second there are, of the faster one's of those of
// Nomad's own drivers that were measured.
func rate(of string) func(*report) float64 {
	return func(r *report) float64 {
		fastest := 0.0
		for _, name := range nomadsOwn {
			if other := r.median(allocationRate, name); measured(other) {
				fastest = max(fastest, other)
			}
		}
		return r.median(allocationRate, of) / fastest // infinite if none was
	}
}

// ends are the medians of a measure with fewest and most tasks.
func (r *report) ends(name, subject string) (few, many float64) {
	few, many = math.NaN(), math.NaN()
	for _, m := range r.Measures {
		if m.Name == name && m.Subject == subject {
			if math.IsNaN(few) {
				few = m.Median
			}
			many = m.Median
		}
	}
	return few, many
}
