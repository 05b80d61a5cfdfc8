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

// stats reports the task's resource usage at once, and then every interval,
// until ctx or the task ends, or report fails. The second report may come up to
// half an interval early, so that all later ones come at the beat of all
// subscribers.
func (h *taskHandle) stats(ctx context.Context, interval time.Duration, report func(*drivers.TaskResourceUsage) error) error {
	defer h.watchUsage()()
	s := subscriber{compute: h.compute}
	interval = max(interval, time.Millisecond)
	maxAge := min(interval/2, shared)
	if err := report(s.report(h.usage(maxAge))); err != nil {
		return err
	}
	if early := h.beats.until(interval); early < interval/2 {
		// Percentages of so short a time say little. One report more, halfway to
		// the beat after the next one, keeps to the interval.
		timer := time.NewTimer((early + interval) / 2)
		defer timer.Stop()
		select {
		case <-ctx.Done():
			return nil
		case <-h.task.Done():
			return nil
		case <-timer.C:
			if err := report(s.report(h.usage(maxAge))); err != nil {
				return err
			}
		}
	}
	sample := sample{of: h, maxAge: maxAge, taken: make(chan *usage, 1)}
	defer h.beats.join(interval, &sample)()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-h.task.Done():
			return nil
		case u := <-sample.taken:
			if err := report(s.report(u)); err != nil {
				return err
			}
		}
	}
}

// subscriber is told percentages of the time since it was told the last ones.
type subscriber struct {
	compute *compute
	last    *usage
	told    *drivers.TaskResourceUsage // of last
	unmoved bool                       // whether last was what was read before it
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
func (s *subscriber) report(now *usage) *drivers.TaskResourceUsage {
	if now == s.last {
		return s.told
	}
	unmoved := s.last != nil && now.group != nil && now.group == s.last.group
	if unmoved && s.unmoved {
		again := *s.told
		again.Timestamp = now.at.UnixNano()
		s.told = &again
	} else {
		s.told = s.compare(now, s.last)
	}
	s.last, s.unmoved = now, unmoved
	return s.told
}

// compare makes a report of a reading and the one before, which may be nil.
func (s *subscriber) compare(now, last *usage) *drivers.TaskResourceUsage {
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
			s.percent(r.CpuStats, p.cpuTimes, was, elapsed)
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
			s.percent(whole.CpuStats, group.cpuTimes, last.group.cpuTimes, elapsed)
		}
	} else {
		// Without cgroups, the sum of the processes that there are now.
		sum := now.sum()
		whole.MemoryStats = &drivers.MemoryStats{RSS: sum.rss, Swap: sum.swap, Measured: measuredMemory}
		whole.CpuStats = &drivers.CpuStats{Measured: measuredSum}
		if last != nil {
			s.percent(whole.CpuStats, sum.cpuTimes, last.sum().cpuTimes, elapsed)
		}
	}
	return &drivers.TaskResourceUsage{ResourceUsage: whole, Timestamp: now.at.UnixNano(), Pids: pids}
}

// percent tells CPU times as percentages of the time between two readings.
func (s *subscriber) percent(stats *drivers.CpuStats, now, last cpuTimes, elapsed time.Duration) {
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
