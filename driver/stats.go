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

	"github.com/burin-labs/nomad-driver-harn/meter"
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

// stats reports the task's resource usage at once, and then every interval,
// until ctx or the task ends, or report fails. The second report may come up to
// half an interval early, so that all later ones come together with those
// of all subscribers.
func (h *taskHandle) stats(ctx context.Context, interval time.Duration, report func(*drivers.TaskResourceUsage) error) error {
	defer h.meter.Watch()()
	s := subscriber{compute: h.compute}
	interval = max(interval, time.Millisecond)
	maxAge := min(interval/2, shared)
	if err := report(s.report(h.meter.Read(maxAge))); err != nil {
		return err
	}
	if early := h.sampler.Until(interval); early < interval/2 {
		// Percentages of so short a time say little. One report more, halfway to
		// the sample after the next one, keeps to the interval.
		timer := time.NewTimer((early + interval) / 2)
		defer timer.Stop()
		select {
		case <-ctx.Done():
			return nil
		case <-h.task.Done():
			return nil
		case <-timer.C:
			if err := report(s.report(h.meter.Read(maxAge))); err != nil {
				return err
			}
		}
	}
	samples, cancel := h.sampler.Subscribe(h.meter, interval, maxAge)
	defer cancel()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-h.task.Done():
			return nil
		case u := <-samples:
			if err := report(s.report(u)); err != nil {
				return err
			}
		}
	}
}

// subscriber gets percentages of the time since its last report.
type subscriber struct {
	compute    *compute
	last       *meter.Usage
	lastReport *drivers.TaskResourceUsage // of last
	idle       bool                       // whether last was what was read before it
}

// What is measured, as Nomad names it.
var (
	measuredMemory = []string{"RSS", "Swap"}
	measuredCPU    = []string{"System Mode", "User Mode", "Percent"}
	measuredSum    = append(measuredCPU[:3:3], "Total Ticks")
	measuredGroup  = append(measuredSum[:4:4], "Throttled Periods", "Throttled Time")
)

// report tells what has been read. What it points to is shared with other
// reports, and must not be changed.
func (s *subscriber) report(now *meter.Usage) *drivers.TaskResourceUsage {
	if now == s.last {
		return s.lastReport
	}
	idle := s.last != nil && now.Group != nil && now.Group == s.last.Group
	if idle && s.idle {
		again := *s.lastReport
		again.Timestamp = now.At.UnixNano()
		s.lastReport = &again
	} else {
		s.lastReport = s.compare(now, s.last)
	}
	s.last, s.idle = now, idle
	return s.lastReport
}

// compare makes a report of a reading and the one before, which may be nil.
func (s *subscriber) compare(now, last *meter.Usage) *drivers.TaskResourceUsage {
	var elapsed time.Duration // 0 if there is nothing to compare with
	before := map[int]meter.CPU{}
	if last != nil {
		elapsed = now.At.Sub(last.At)
		for i := range last.Processes {
			before[last.Processes[i].PID] = last.Processes[i].CPU
		}
	}
	pids := make(map[string]*drivers.ResourceUsage, len(now.Processes))
	for i := range now.Processes {
		p := &now.Processes[i]
		r := &drivers.ResourceUsage{
			MemoryStats: &drivers.MemoryStats{RSS: p.RSS, Swap: p.Swap, Measured: measuredMemory},
			CpuStats:    &drivers.CpuStats{Measured: measuredCPU},
		}
		if was, ok := before[p.PID]; ok {
			s.percent(r.CpuStats, p.CPU, was, elapsed)
		}
		pids[strconv.Itoa(p.PID)] = r
	}
	whole := &drivers.ResourceUsage{}
	if group := now.Group; group != nil {
		m := &group.Memory
		whole.MemoryStats = &drivers.MemoryStats{
			RSS: m.RSS, Cache: m.Cache, Swap: m.Swap, MappedFile: m.MappedFile, Usage: m.Usage, MaxUsage: m.MaxUsage,
			KernelUsage: m.KernelUsage, KernelMaxUsage: m.KernelMaxUsage, Measured: m.Measured,
		}
		whole.CpuStats = &drivers.CpuStats{
			Measured: measuredGroup, ThrottledPeriods: group.ThrottledPeriods, ThrottledTime: group.ThrottledTime,
		}
		if last != nil && last.Group != nil {
			s.percent(whole.CpuStats, group.CPU, last.Group.CPU, elapsed)
		}
	} else {
		// Without cgroups, the sum of the processes that there are now.
		sum := now.Sum()
		whole.MemoryStats = &drivers.MemoryStats{RSS: sum.RSS, Swap: sum.Swap, Measured: measuredMemory}
		whole.CpuStats = &drivers.CpuStats{Measured: measuredSum}
		if last != nil {
			s.percent(whole.CpuStats, sum.CPU, last.Sum().CPU, elapsed)
		}
	}
	return &drivers.TaskResourceUsage{ResourceUsage: whole, Timestamp: now.At.UnixNano(), Pids: pids}
}

// percent tells CPU times as percentages of the time between two readings.
func (s *subscriber) percent(stats *drivers.CpuStats, now, last meter.CPU, elapsed time.Duration) {
	if elapsed <= 0 {
		return
	}
	percent := func(now, last time.Duration) float64 {
		return max(0, 100*float64(now-last)/float64(elapsed)) // processes that ended may lower a sum
	}
	stats.UserMode = percent(now.User, last.User)
	stats.SystemMode = percent(now.System, last.System)
	stats.Percent = percent(now.Total, last.Total)
	stats.TotalTicks = s.compute.ticks(stats.Percent)
}
