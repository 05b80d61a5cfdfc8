// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
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

// stats sends the task's resource usage at once, and then every interval,
// until ctx or the task ends.
func (h *taskHandle) stats(ctx context.Context, interval time.Duration, ch chan<- *drivers.TaskResourceUsage) {
	defer close(ch)
	ticker := time.NewTicker(max(interval, time.Millisecond))
	defer ticker.Stop()
	s := sampler{task: h, last: map[string]cpuTimes{}}
	for {
		select {
		case <-ctx.Done():
			return
		case <-h.task.Done():
			return
		case ch <- s.sample():
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

// sampler takes samples for one subscriber: percentages are of the time since
// its own last one.
type sampler struct {
	task *taskHandle
	last map[string]cpuTimes // by PID, "" for the whole task
}

// cpuTimes are CPU times since the start, and when they were read.
type cpuTimes struct {
	user, system, total time.Duration
	at                  time.Time
}

func (s *sampler) sample() *drivers.TaskResourceUsage {
	now := time.Now()
	pids := map[string]*drivers.ResourceUsage{}
	var sum processSample
	for _, pid := range s.task.pids() {
		p, err := readProcess(pid)
		if err != nil {
			continue // it has ended
		}
		p.at = now
		key := strconv.Itoa(pid)
		pids[key] = &drivers.ResourceUsage{
			MemoryStats: &drivers.MemoryStats{RSS: p.rss, Swap: p.swap, Measured: []string{"RSS", "Swap"}},
			CpuStats:    s.cpu(key, p.cpuTimes, "System Mode", "User Mode", "Percent"),
		}
		sum.add(p)
	}
	for key := range s.last {
		if _, alive := pids[key]; !alive && key != "" {
			delete(s.last, key)
		}
	}
	usage := &drivers.TaskResourceUsage{Timestamp: now.UTC().UnixNano(), Pids: pids}
	if group, err := s.task.cgroup.read(); err == nil && group != nil {
		group.cpu.at = now
		cpu := s.cpu("", group.cpu, "System Mode", "User Mode", "Percent", "Total Ticks", "Throttled Periods", "Throttled Time")
		cpu.ThrottledPeriods, cpu.ThrottledTime = group.throttledPeriods, group.throttledTime
		usage.ResourceUsage = &drivers.ResourceUsage{MemoryStats: &group.memory, CpuStats: cpu}
		return usage
	}
	// Without cgroups, the sum of the processes that there are now.
	sum.at = now
	usage.ResourceUsage = &drivers.ResourceUsage{
		MemoryStats: &drivers.MemoryStats{RSS: sum.rss, Swap: sum.swap, Measured: []string{"RSS", "Swap"}},
		CpuStats:    s.cpu("", sum.cpuTimes, "System Mode", "User Mode", "Percent", "Total Ticks"),
	}
	return usage
}

// cpu compares CPU times with those of the last sample. The first sample has
// nothing to compare with.
func (s *sampler) cpu(key string, now cpuTimes, measured ...string) *drivers.CpuStats {
	stats := &drivers.CpuStats{Measured: measured}
	last, ok := s.last[key]
	s.last[key] = now
	if elapsed := now.at.Sub(last.at); ok && elapsed > 0 {
		percent := func(now, last time.Duration) float64 {
			return max(0, 100*float64(now-last)/float64(elapsed)) // processes that ended may lower a sum
		}
		stats.UserMode = percent(now.user, last.user)
		stats.SystemMode = percent(now.system, last.system)
		stats.Percent = percent(now.total, last.total)
		stats.TotalTicks = s.task.compute.ticks(stats.Percent)
	}
	return stats
}

// processSample is what /proc says of a process.
type processSample struct {
	cpuTimes
	rss, swap uint64 // bytes
}

func (p *processSample) add(q processSample) {
	p.user += q.user
	p.system += q.system
	p.total += q.total
	p.rss += q.rss
	p.swap += q.swap
}

// clockTick is the unit of CPU times in /proc, sysconf(3) _SC_CLK_TCK: 100 a
// second on every architecture that Go runs on.
const clockTick = time.Second / 100

// readProcess reads proc_pid_stat(5) and proc_pid_status(5).
func readProcess(pid int) (processSample, error) {
	var p processSample
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return p, err
	}
	_, rest, _ := strings.Cut(string(stat[strings.LastIndexByte(string(stat), ')')+1:]), " ")
	fields := strings.Fields(rest) // from field 3
	const utime, stime, rss = 14 - 3, 15 - 3, 24 - 3
	if len(fields) <= rss {
		return p, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields))
	}
	number := func(s string) uint64 {
		n, _ := strconv.ParseUint(s, 10, 64) // the kernel's own numbers
		return n
	}
	p.user = time.Duration(number(fields[utime])) * clockTick
	p.system = time.Duration(number(fields[stime])) * clockTick
	p.total = p.user + p.system
	p.rss = number(fields[rss]) * uint64(os.Getpagesize())
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return p, err
	}
	for line := range strings.Lines(string(status)) {
		if kb, ok := strings.CutPrefix(line, "VmSwap:"); ok {
			p.swap = number(strings.TrimSuffix(strings.TrimSpace(kb), " kB")) << 10
		}
	}
	return p, nil
}
