// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package sandbox

import (
	"fmt"
	"math"
)

// cpuPeriod is the period of hard CPU limits in microseconds, the kernel's
// default.
const cpuPeriod = 100_000

// minQuota is the least quota in a period that the kernel accepts.
const minQuota = 1000

// Ranges of task options.
const (
	maxOOMScoreAdj = 1000
	maxNice        = 19
	maxPids        = 4 << 20 // PID_MAX_LIMIT of the kernel
)

// Resources are those that a task is placed with.
type Resources struct {
	// MemoryMB is what is reserved for the task, in MiB. MemoryMaxMB is the most that
	// it may have: 0 means that it is MemoryMB, -1 that there is no limit.
	MemoryMB, MemoryMaxMB int64
	// CPUShares is a weight, as of cgroups v1; 0 for the kernel's default.
	CPUShares int64
	// CPUFraction is the part of all cores of the node that is the task's, 0 to 1.
	CPUFraction float64
	// Cpuset is a list of cores that are the task's own; "" if there are none.
	Cpuset string
}

// CgroupLimits are the settings of a task's cgroups. What is 0 is left as it is.
type CgroupLimits struct {
	// Memory is in bytes, and -1 for no limit; MemorySwap is that with swap.
	Memory, MemorySwap, MemoryReservation int64
	Pids                                  int64
	CPUShares                             uint64
	// CPUQuota and CPUPeriod are in microseconds.
	CPUQuota  int64
	CPUPeriod uint64
	Cpuset    string
}

// cgroupLimits turns a task's resources and request into the settings of its
// cgroups. cores is how many the node has.
func cgroupLimits(r *Resources, request *Request, settings *Settings, cores int) (*CgroupLimits, error) {
	l := &CgroupLimits{Pids: settings.PidsLimit}
	if request.PidsLimit != 0 {
		if l.Pids != 0 && request.PidsLimit > l.Pids {
			return nil, fmt.Errorf("pids_limit: %d exceeds the operator's %d (plugin option pids_limit)", request.PidsLimit, l.Pids)
		}
		l.Pids = request.PidsLimit
	}
	l.setMemory(r.MemoryMB, r.MemoryMaxMB)
	if r.CPUShares > 0 {
		l.CPUShares = uint64(r.CPUShares)
	}
	l.Cpuset = r.Cpuset
	if request.CPUHardLimit {
		l.CPUPeriod = cpuPeriod
		l.CPUQuota = max(minQuota, int64(math.Round(r.CPUFraction*cpuPeriod*float64(max(cores, 1)))))
	}
	return l, nil
}

// setMemory limits memory, in MiB: reserved is guaranteed, most is the limit;
// 0 means that there is no other than reserved, -1 that there is none.
func (l *CgroupLimits) setMemory(reserved, most int64) {
	l.MemoryReservation = reserved << 20
	hard := max(reserved, most)
	if most < 0 {
		hard = -1
	} else {
		hard <<= 20
	}
	l.Memory = hard
	// A limit that the task could pass by swapping would be none.
	l.MemorySwap = hard
}

// validateResources checks the task's own options.
func (r *Request) validateResources() []string {
	var problems []string
	outside := func(field string, value, least, most int64) {
		if value < least || value > most {
			problems = append(problems, fmt.Sprintf("%s: %d is out of range, expected %d to %d", field, value, least, most))
		}
	}
	outside("oom_score_adj", r.OOMScoreAdj, 0, maxOOMScoreAdj)
	outside("nice", r.Nice, 0, maxNice)
	outside("pids_limit", r.PidsLimit, 0, maxPids)
	return problems
}
