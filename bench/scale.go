// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/nomad/plugins/drivers"
)

const (
	scaleStart    = "start latency through gRPC"
	scaleMemory   = "private memory: plugin and supervisors, or executors"
	scaleRecover  = "recovery after kill -9 of the plugin, through gRPC"
	scaleStop     = "stop and destroy all, through gRPC"
	nodeStart     = "through an agent: first received to last started"
	nodeRecover   = "through an agent: plugin killed to last task recovered"
	nodeStop      = "through an agent: stopped to last terminated"
	atOnce        = 16 // calls at a time, where a client would make them at once
	lastStarts    = 30 // of how many starts the latency at some number of tasks is told
	recoveredText = "recovered task"
)

// scale grows the number of tasks of one node.
func (b *bench) scale() error {
	for _, s := range in("scale") {
		most := b.counts.scale[len(b.counts.scale)-1]
		if s.driver != harn {
			most = b.peerScale
		}
		if err := b.scaleDriver(s.driver, most); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	for _, s := range in("nodes") {
		for _, count := range b.counts.scale {
			if err := b.scaleNode(s, count); err != nil {
				return fmt.Errorf("%s: %d tasks on a node: %w", s.name, count, err)
			}
		}
	}
	return nil
}

// scaleDriver starts tasks one by one, and looks at the driver at each number
// of them.
func (b *bench) scaleDriver(name string, most int) error {
	dir := filepath.Join(b.dir, "scale-"+name)
	p, err := b.startDriver(name, dir)
	if err != nil {
		return err
	}
	defer func() { p.stop() }()
	var tasks []*task
	defer func() { destroyAll(tasks) }()
	var latencies []float64
	for _, count := range b.counts.scale {
		if count > most {
			break
		}
		for len(tasks) < count {
			t, took, err := p.sleeper()
			if err != nil {
				return err
			}
			tasks = append(tasks, t)
			latencies = append(latencies, took)
		}
		b.report.addAt("scale", scaleStart, "ms", name, count, latencies[max(0, len(latencies)-lastStarts):]...)
		m := memoryOf(p.processes())
		b.report.addAt("scale", scaleMemory, "MB", name, count, m.private/(1<<20))
		again, took, err := b.recoverAll(p, tasks)
		if err != nil {
			return err
		}
		p = again
		b.report.addAt("scale", scaleRecover, "s", name, count, took.Seconds())
	}
	count := len(tasks)
	began := time.Now()
	err = inParallel(tasks, func(t *task) error { return p.DestroyTask(t.config.ID, true) })
	b.report.addAt("scale", scaleStop, "s", name, count, time.Since(began).Seconds())
	return err
}

// processes are those that a driver needs for its tasks.
func (p *driverProcess) processes() []int {
	if p.name != harn {
		return pidsOf(executorProcess)
	}
	return append(pidsOf(supervisorProcess), p.cmd.Process.Pid)
}

// sleeper starts a task that sleeps, and tells how many milliseconds it took.
func (p *driverProcess) sleeper() (*task, float64, error) {
	t, err := p.prepare(command("/bin/sleep", "100000"), false)
	if err != nil {
		return nil, 0, err
	}
	began := time.Now()
	if err := t.start(); err != nil {
		t.destroy()
		return nil, 0, err
	}
	return t, milliseconds(time.Since(began)), nil
}

// manySleepers starts tasks that sleep.
func (b *bench) manySleepers(driver string, count int) (tasks []*task, p *driverProcess, err error) {
	p, err = b.startDriver(driver, filepath.Join(b.dir, "sleepers-"+driver))
	if err != nil {
		return nil, nil, err
	}
	for range count {
		t, _, err := p.sleeper()
		if err != nil {
			destroyAll(tasks)
			p.stop()
			return nil, nil, err
		}
		tasks = append(tasks, t)
	}
	return tasks, p, nil
}

func destroyAll(tasks []*task) {
	_ = inParallel(tasks, func(t *task) error {
		t.destroy()
		return nil
	})
}

// inParallel does something with all tasks, some at a time.
func inParallel(tasks []*task, do func(*task) error) error {
	var group sync.WaitGroup
	slots := make(chan struct{}, atOnce)
	failures := make([]error, len(tasks))
	for i, t := range tasks {
		slots <- struct{}{}
		group.Go(func() {
			failures[i] = do(t)
			<-slots
		})
	}
	group.Wait()
	return errors.Join(failures...)
}

// recoverAll kills the plugin, starts another one, and gives it back all
// tasks. It tells how long it took from the kill until all are known.
func (b *bench) recoverAll(p *driverProcess, tasks []*task) (*driverProcess, time.Duration, error) {
	began := time.Now()
	p.crash()
	again, err := b.startDriver(p.name, p.dir)
	if err != nil {
		return p, 0, err
	}
	err = inParallel(tasks, func(t *task) error {
		t.driver = again
		if err := again.RecoverTask(t.handle); err != nil {
			return err
		}
		status, err := again.InspectTask(t.config.ID)
		if err == nil && status.State != drivers.TaskStateRunning {
			err = fmt.Errorf("task %s is %s after recovery", t.config.ID, status.State)
		}
		return err
	})
	return again, time.Since(began), err
}

// scaleNode runs tasks on a real node. Nomad does not collect their logs: a
// thousand of its logmon need more memory than the machine has.
func (b *bench) scaleNode(s subject, count int) error {
	return b.withCluster([]subject{s}, func(c *cluster) error {
		id := fmt.Sprintf("scale-%d", count)
		if err := c.register(s.job(id, command("/bin/sleep", "100000"), count)); err != nil {
			return err
		}
		all, err := c.allocations(id, count, running)
		if err != nil {
			return err
		}
		b.report.addAt("scale", nodeStart, "s", s.name, count, last(all, begun).Sub(first(all, received)).Seconds())

		killed := time.Now()
		kill(c.plugin(s))
		recovered, err := c.recovered(s, count)
		if err != nil {
			return err
		}
		b.report.addAt("scale", nodeRecover, "s", s.name, count, recovered.Sub(killed).Seconds())

		stopped := time.Now()
		if _, _, err := c.Jobs().Deregister(id, false, nil); err != nil {
			return err
		}
		if all, err = c.allocations(id, count, dead); err != nil {
			return err
		}
		b.report.addAt("scale", nodeStop, "s", s.name, count, last(all, terminated).Sub(stopped).Seconds())
		return c.purge(id)
	})
}

// recovered waits until the log of the subject's client says that the plugin has
// recovered count tasks, and returns when the last one was.
func (c *cluster) recovered(s subject, count int) (last time.Time, err error) {
	err = eventually("recovery", 50*time.Millisecond, func() (bool, error) {
		text, err := os.ReadFile(c.clients[s.client].log)
		if err != nil {
			return false, err
		}
		found := 0
		for line := range strings.Lines(string(text)) {
			if !strings.Contains(line, recoveredText) {
				continue
			}
			found++
			word, _, _ := strings.Cut(strings.TrimSpace(line), " ")
			if t, err := time.Parse("2006-01-02T15:04:05.000Z0700", word); err == nil && t.After(last) {
				last = t
			}
		}
		return found >= count, c.gone()
	})
	return last, err
}
