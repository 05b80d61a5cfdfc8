// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"fmt"
	"time"
)

const allocationRate = "allocations a second"

// throughput runs jobs of many short tasks, in turns.
func (b *bench) throughput() error {
	return b.withNode(func(n *node) error {
		samples := map[string][]*throughput{}
		for round := range b.rounds {
			for _, name := range allDrivers {
				t, err := b.timeJob(n, fmt.Sprintf("throughput-%s-%d", name, round), name)
				if err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
				samples[name] = append(samples[name], t)
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
			for _, name := range allDrivers {
				var values []float64
				for _, t := range samples[name] {
					values = append(values, m.value(t))
				}
				b.report.add("throughput", m.what, m.unit, name, values...)
			}
		}
		return nil
	})
}

type throughput struct{ wall, own, children time.Duration }

func (b *bench) timeJob(n *node, id, driver string) (*throughput, error) {
	cpu := func() (own, children time.Duration) {
		for _, pid := range append(pidsOf(pluginProcess), n.client.cmd.Process.Pid) {
			o, c := cpuWithChildren(pid)
			own, children = own+o, children+c
		}
		return own, children
	}
	ownBefore, childrenBefore := cpu()
	if err := n.register(job(id, driver, command("/bin/true"), b.allocations, true)); err != nil {
		return nil, err
	}
	all, err := n.allocations(id, b.allocations, dead)
	if err != nil {
		return nil, err
	}
	if err := n.purge(id); err != nil {
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
	return b.withNode(func(n *node) error {
		for _, name := range allDrivers {
			if err := b.sleepers(n, name); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		return b.quiet()
	})
}

func (b *bench) sleepers(n *node, driver string) error {
	id := "sleep-" + driver
	if err := n.register(job(id, driver, command("/bin/sleep", "100000"), b.counts.sleepers, true)); err != nil {
		return err
	}
	if _, err := n.allocations(id, b.counts.sleepers, running); err != nil {
		return err
	}
	kinds := []string{executorProcess}
	if driver == harn {
		kinds = []string{pluginProcess, supervisorProcess}
	}
	const kb = 1024
	each := func(what string, bytes float64) {
		b.report.add("memory", what, "kB", driver, bytes/kb/float64(b.counts.sleepers))
	}
	m := memoryOf(pidsOf(kinds...))
	each(privateMemory, m.private)
	each("PSS per task: plugin and supervisors, or executors", m.pss)
	if driver == harn {
		m = memoryOf(pidsOf(pluginProcess))
		b.report.add("memory", "private memory of the plugin alone", "kB", driver, m.private/kb)
		m = memoryOf(pidsOf(supervisorProcess))
		each("private memory per task: supervisors alone", m.private)
	}
	m = memoryOf(pidsOf(logmonProcess))
	each("PSS per task: Nomad's logmon", m.pss)
	b.report.add("memory", idleCPU, "%", driver, b.idleCPU(pidsOf(kinds...)))
	return n.purge(id)
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
