// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"fmt"
	"slices"
	"time"
)

const allocationRate = "allocations a second"

// throughput runs jobs of many short tasks, in turns.
func (b *bench) throughput() error {
	compared := in("throughput")
	return b.withCluster(compared, func(c *cluster) error {
		samples := map[string][]*throughput{}
		for round := range b.rounds {
			for _, s := range slices.Clone(compared) {
				id := fmt.Sprintf("throughput-%s-%d", s.id(), round)
				t, err := b.timeJob(c, id, s)
				if err != nil && slices.Contains(nomadsOwn, s.driver) {
					// They may fail tasks of so many at once, beyond all restarts. The
					// others are measured all the same.
					compared = slices.DeleteFunc(compared, func(other subject) bool { return other.name == s.name })
					b.report.note(fmt.Sprintf("throughput of %s: %v", s.name, err))
					if err := c.purge(id); err != nil {
						return fmt.Errorf("%s: %w", s.name, err)
					}
					continue
				}
				if err != nil {
					return fmt.Errorf("%s: %w", s.name, err)
				}
				samples[s.name] = append(samples[s.name], t)
			}
		}
		for _, m := range []struct {
			what, unit string
			value      func(*throughput) float64
		}{
			{"wall time, first received to last terminated", "s", func(t *throughput) float64 { return t.wall.Seconds() }},
			{allocationRate, "/s", func(t *throughput) float64 { return float64(b.allocations) / t.wall.Seconds() }},
			{"CPU per allocation: client and plugin", "ms", func(t *throughput) float64 { return milliseconds(t.own) / float64(b.allocations) }},
			{"CPU per allocation: supervisors or executors, logmon, tasks", "ms", func(t *throughput) float64 { return milliseconds(t.children) / float64(b.allocations) }},
		} {
			for _, s := range compared {
				var values []float64
				for _, t := range samples[s.name] {
					values = append(values, m.value(t))
				}
				b.report.add("throughput", m.what, m.unit, s.name, values...)
			}
		}
		return nil
	})
}

type throughput struct{ wall, own, children time.Duration }

func (b *bench) timeJob(c *cluster, id string, s subject) (*throughput, error) {
	cpu := func() (own, children time.Duration) {
		for _, pid := range append(c.plugin(s), c.clients[s.client].cmd.Process.Pid) {
			o, waited := cpuWithChildren(pid)
			own, children = own+o, children+waited
		}
		return own, children
	}
	ownBefore, childrenBefore := cpu()
	j := s.job(id, command("/bin/true"), b.allocations)
	// With so many at once, logmon may need longer to start than Nomad waits for it.
	// Then a task is started again, and its time counts.
	attempts, interval, delay := 10, time.Hour, time.Duration(0)
	restart := j.TaskGroups[0].RestartPolicy
	restart.Attempts, restart.Interval, restart.Delay = &attempts, &interval, &delay
	if err := c.register(j); err != nil {
		return nil, err
	}
	all, err := c.allocations(id, b.allocations, dead)
	if err != nil {
		return nil, err
	}
	if err := c.purge(id); err != nil {
		return nil, err
	}
	own, children := cpu()
	return &throughput{last(all, terminated).Sub(first(all, received)), own - ownBefore, children - childrenBefore}, nil
}

const (
	privateMemory = "private memory per task: plugin and supervisors, or executors"
	idleCPU       = "CPU of a core per 100 tasks, stats every second"
	idleCPUQuiet  = "CPU of a core per 100 tasks, without stats"
)

// memory measures what sleeping tasks cost.
func (b *bench) memory() error {
	compared := in("memory")
	return b.withCluster(compared, func(c *cluster) error {
		for _, s := range compared {
			if err := b.sleepers(c, s); err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
		}
		return b.quiet()
	})
}

func (b *bench) sleepers(c *cluster, s subject) error {
	id := "sleep-" + s.id()
	if err := c.register(s.job(id, command("/bin/sleep", "100000"), b.counts.sleepers)); err != nil {
		return err
	}
	if _, err := c.allocations(id, b.counts.sleepers, running); err != nil {
		return err
	}
	pids := append(c.plugin(s), pidsOf(supervisorProcess, executorProcess)...)
	if s.driver != floor { // whose plugin is this program, with all that it needs besides
		b.tellMemory(c, s, pids)
	}
	b.report.add("memory", idleCPU, "%", s.name, b.idleCPU(pids))
	return c.purge(id)
}

// tellMemory reports the memory of a subject's tasks. pids are the driver's.
func (b *bench) tellMemory(c *cluster, s subject, pids []int) {
	const kb = 1024
	each := func(what string, bytes float64) {
		b.report.add("memory", what, "kB", s.name, bytes/kb/float64(b.counts.sleepers))
	}
	driver, logmon := memoryOf(pids), memoryOf(pidsOf(logmonProcess))
	each(privateMemory, driver.private)
	each("PSS per task: plugin and supervisors, or executors", driver.pss)
	each("PSS per task: Nomad's logmon", logmon.pss)
	each("PSS per task: everything that Nomad and the driver start for it", driver.pss+logmon.pss)
	if s.driver == harn {
		b.report.add("memory", "private memory of the plugin alone", "kB", s.name, memoryOf(c.plugin(s)).private/kb)
		each("private memory per task: supervisors alone", memoryOf(pidsOf(supervisorProcess)).private)
	}
}

// idleCPU is the CPU time that processes use, in percent of a core, per 100
// tasks.
func (b *bench) idleCPU(pids []int) float64 {
	before, began := cpuOf(pids), time.Now()
	time.Sleep(b.idle)
	used := cpuOf(pids) - before
	return 100 * float64(used) / float64(time.Since(began)) * 100 / float64(b.counts.sleepers)
}

// quiet measures our driver while nobody asks for stats.
func (b *bench) quiet() error {
	tasks, p, err := b.manySleepers(harn, b.counts.sleepers)
	if err != nil {
		return err
	}
	defer p.stop()
	defer destroyAll(tasks)
	pids := append(pidsOf(supervisorProcess), p.cmd.Process.Pid)
	b.report.add("memory", idleCPUQuiet, "%", harn, b.idleCPU(pids))
	return nil
}
