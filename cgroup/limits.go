// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package cgroup

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/opencontainers/cgroups"
)

// Limits are the settings of a task's cgroups. What is 0 is left as it is.
type Limits struct {
	// Memory is in bytes, and -1 for no limit; MemorySwap is that with swap.
	Memory, MemorySwap, MemoryReservation int64
	Pids                                  int64
	CPUShares                             uint64
	// CPUQuota and CPUPeriod are in microseconds.
	CPUQuota  int64
	CPUPeriod uint64
	Cpuset    string
}

// Apply writes the settings into the task's cgroups. Their processes come later.
func (g *Group) Apply(limits *Limits) error {
	if len(g.Paths) == 0 {
		return nil
	}
	settings := cgroups.Resources{
		SkipDevices: true,
		Memory:      limits.Memory, MemorySwap: limits.MemorySwap, MemoryReservation: limits.MemoryReservation,
		CpuShares: limits.CPUShares, CpuQuota: limits.CPUQuota, CpuPeriod: limits.CPUPeriod, CpusetCpus: limits.Cpuset,
	}
	if limits.CPUShares > 0 {
		settings.CpuWeight = cgroups.ConvertCPUSharesToCgroupV2Value(limits.CPUShares)
	}
	if limits.Pids > 0 {
		settings.PidsLimit = &limits.Pids
	}
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

func (g *Group) set(r *cgroups.Resources, without ...string) error {
	manager, err := g.manager(without...)
	if err != nil {
		return err
	}
	if err := manager.Set(r); err != nil {
		return fmt.Errorf("setting the limits of the task's cgroup: %w", err)
	}
	return nil
}
