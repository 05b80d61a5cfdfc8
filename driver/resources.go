// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"fmt"
	"math"
	"os"
	"path/filepath"

	"github.com/hashicorp/nomad/plugins/drivers"
	"github.com/opencontainers/cgroups"
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

// makeResources turns a task's resources block and options into the settings
// of its cgroups. cores is how many the node has.
func makeResources(cfg *drivers.TaskConfig, task *TaskConfig, config *Config, cores int) (*cgroups.Resources, error) {
	r := &cgroups.Resources{SkipDevices: true}
	limit := config.PidsLimit
	if task.PidsLimit != 0 {
		if limit != 0 && task.PidsLimit > limit {
			return nil, fmt.Errorf("pids_limit: %d exceeds the operator's %d (plugin option pids_limit)", task.PidsLimit, limit)
		}
		limit = task.PidsLimit
	}
	if limit != 0 {
		r.PidsLimit = &limit
	}
	if cfg.Resources == nil {
		return r, nil
	}
	if nomad := cfg.Resources.NomadResources; nomad != nil {
		setMemory(r, nomad.Memory.MemoryMB, nomad.Memory.MemoryMaxMB)
	}
	if linux := cfg.Resources.LinuxResources; linux != nil {
		if linux.CPUShares > 0 {
			r.CpuShares = uint64(linux.CPUShares)
			r.CpuWeight = cgroups.ConvertCPUSharesToCgroupV2Value(r.CpuShares)
		}
		r.CpusetCpus = linux.CpusetCpus
		if task.CPUHardLimit {
			r.CpuPeriod = cpuPeriod
			r.CpuQuota = max(minQuota, int64(math.Round(linux.PercentTicks*cpuPeriod*float64(max(cores, 1)))))
		}
	}
	return r, nil
}

// setMemory limits memory, in MiB: reserved is guaranteed, most is the limit;
// 0 means that there is no other than reserved, -1 that there is none.
func setMemory(r *cgroups.Resources, reserved, most int64) {
	r.MemoryReservation = reserved << 20
	hard := max(reserved, most)
	if most < 0 {
		hard = -1
	} else {
		hard <<= 20
	}
	r.Memory = hard
	// A limit that the task could pass by swapping would be none.
	r.MemorySwap = hard
}

// apply writes the settings into the task's cgroups. Their processes come later.
func (g *cgroup) apply(r *cgroups.Resources) error {
	if len(g.Paths) == 0 {
		return nil
	}
	settings := *r
	if _, v2 := g.Paths[""]; v2 {
		settings.CpuShares = 0
	} else {
		settings.CpuWeight = 0
		none := uint64(0)
		settings.MemorySwappiness = &none
		if _, err := os.Stat(filepath.Join(g.Paths["memory"], "memory.memsw.limit_in_bytes")); err != nil {
			settings.MemorySwap = 0 // the kernel does not count swap
		}
		if settings.CpusetCpus == "" {
			// The cpuset is one that the client manages, for many tasks.
			return g.set(&settings, "cpuset")
		}
	}
	return g.set(&settings)
}

func (g *cgroup) set(r *cgroups.Resources, without ...string) error {
	manager, err := g.manager(without...)
	if err != nil {
		return err
	}
	if err := manager.Set(r); err != nil {
		return fmt.Errorf("setting the limits of the task's cgroup: %w", err)
	}
	return nil
}

// validateResources checks the task's own options.
func (c *TaskConfig) validateResources() []string {
	var problems []string
	outside := func(field string, value, least, most int64) {
		if value < least || value > most {
			problems = append(problems, fmt.Sprintf("%s: %d is out of range, expected %d to %d", field, value, least, most))
		}
	}
	outside("oom_score_adj", c.OOMScoreAdj, 0, maxOOMScoreAdj)
	outside("nice", c.Nice, 0, maxNice)
	outside("pids_limit", c.PidsLimit, 0, maxPids)
	return problems
}
