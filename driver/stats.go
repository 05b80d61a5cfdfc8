// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/nomad/plugins/base"
	"github.com/hashicorp/nomad/plugins/drivers"
)

// compute is the node's processing power, by which Nomad counts CPU time.
type compute struct {
	lock  sync.RWMutex
	mhz   float64 // of all cores
	cores int
}

func (c *compute) set(agent *base.AgentConfig) {
	given := agent.Compute()
	c.lock.Lock()
	defer c.lock.Unlock()
	c.mhz, c.cores = float64(given.TotalCompute), given.NumCores
}

// count is how many cores the node has, 0 if it is not known.
func (c *compute) count() int {
	c.lock.RLock()
	defer c.lock.RUnlock()
	return c.cores
}

// ticks turns a percentage of one core into MHz.
func (c *compute) ticks(percent float64) float64 {
	c.lock.RLock()
	defer c.lock.RUnlock()
	if c.cores == 0 {
		return 0
	}
	return percent / 100 * c.mhz / float64(c.cores)
}

// shared is how old what was read for another subscriber may be.
const shared = 100 * time.Millisecond

// stats sends the task's resource usage at once, and then every interval,
// until ctx or the task ends.
func (h *taskHandle) stats(ctx context.Context, interval time.Duration, ch chan<- *drivers.TaskResourceUsage) {
	defer close(ch)
	ticker := time.NewTicker(max(interval, time.Millisecond))
	defer ticker.Stop()
	s := subscriber{compute: h.compute}
	for {
		select {
		case <-ctx.Done():
			return
		case <-h.task.Done():
			return
		case ch <- s.report(h.usage(min(interval/2, shared))):
		}
		select {
		case <-ctx.Done():
			return
		case <-h.task.Done():
			return
		case <-ticker.C:
		}
	}
}

// subscriber is told percentages of the time since it was told the last ones.
type subscriber struct {
	compute *compute
	last    *usage
}

// What is measured, as Nomad names it.
var (
	measuredMemory = []string{"RSS", "Swap"}
	measuredCPU    = []string{"System Mode", "User Mode", "Percent"}
	measuredSum    = append(measuredCPU[:3:3], "Total Ticks")
	measuredGroup  = append(measuredSum[:4:4], "Throttled Periods", "Throttled Time")
)

func (s *subscriber) report(now *usage) *drivers.TaskResourceUsage {
	last := s.last
	s.last = now
	var elapsed time.Duration // 0 if there is nothing to compare with
	before := map[int]cpuTimes{}
	if last != nil {
		elapsed = now.at.Sub(last.at)
		for i := range last.processes {
			before[last.processes[i].pid] = last.processes[i].cpuTimes
		}
	}
	pids := make(map[string]*drivers.ResourceUsage, len(now.processes))
	for i := range now.processes {
		p := &now.processes[i]
		r := &drivers.ResourceUsage{
			MemoryStats: &drivers.MemoryStats{RSS: p.rss, Swap: p.swap, Measured: measuredMemory},
			CpuStats:    &drivers.CpuStats{Measured: measuredCPU},
		}
		if was, ok := before[p.pid]; ok {
			s.compare(r.CpuStats, p.cpuTimes, was, elapsed)
		}
		pids[strconv.Itoa(p.pid)] = r
	}
	whole := &drivers.ResourceUsage{}
	if group := now.group; group != nil {
		memory := group.memory
		whole.MemoryStats = &memory
		whole.CpuStats = &drivers.CpuStats{
			Measured: measuredGroup, ThrottledPeriods: group.throttledPeriods, ThrottledTime: group.throttledTime,
		}
		if last != nil && last.group != nil {
			s.compare(whole.CpuStats, group.cpuTimes, last.group.cpuTimes, elapsed)
		}
	} else {
		// Without cgroups, the sum of the processes that there are now.
		sum := now.sum()
		whole.MemoryStats = &drivers.MemoryStats{RSS: sum.rss, Swap: sum.swap, Measured: measuredMemory}
		whole.CpuStats = &drivers.CpuStats{Measured: measuredSum}
		if last != nil {
			s.compare(whole.CpuStats, sum.cpuTimes, last.sum().cpuTimes, elapsed)
		}
	}
	return &drivers.TaskResourceUsage{ResourceUsage: whole, Timestamp: now.at.UTC().UnixNano(), Pids: pids}
}

// compare tells CPU times as percentages of the time between two readings.
func (s *subscriber) compare(stats *drivers.CpuStats, now, last cpuTimes, elapsed time.Duration) {
	if elapsed <= 0 {
		return
	}
	percent := func(now, last time.Duration) float64 {
		return max(0, 100*float64(now-last)/float64(elapsed)) // processes that ended may lower a sum
	}
	stats.UserMode = percent(now.user, last.user)
	stats.SystemMode = percent(now.system, last.system)
	stats.Percent = percent(now.total, last.total)
	stats.TotalTicks = s.compute.ticks(stats.Percent)
}
