// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Package meter reads what the processes of a cgroup use, for many readers at
// once, and cheaply while they are idle.
package meter

import (
	"sync"
	"time"

	"github.com/burin-labs/nomad-driver-harn/cgroup"
)

// Meter reads what the processes of a task use. Who asks at nearly the same time
// shares what was read: that is a file of each process and some of the cgroups. They
// are not read again while the task uses neither CPU time nor memory.
type Meter struct {
	group *cgroup.Group
	pids  func() []int

	lock        sync.Mutex
	last        *Usage
	complete    time.Time // when all of it was read
	idle        idleWatch
	subscribers int
}

// New makes a meter of a task's cgroups, and of its processes as the host sees them.
func New(group *cgroup.Group, pids func() []int) *Meter { return &Meter{group: group, pids: pids} }

// maxIdle is how long a reading of a task holds that uses nothing. What its memory
// is used for may change then, while the sum does not.
const maxIdle = time.Minute

// Usage is what the kernel has counted of a task. It is not changed once it is
// read.
type Usage struct {
	At        time.Time // when it was read
	Processes []Process
	Group     *Group // nil without cgroups
}

// CPU are CPU times since the start.
type CPU struct{ User, System, Total time.Duration }

// Process is what /proc says of a process.
type Process struct {
	CPU
	PID       int
	RSS, Swap uint64 // bytes
}

// Group is what the kernel counts of a task's cgroups.
type Group struct {
	CPU
	ThrottledPeriods uint64
	ThrottledTime    uint64 // nanoseconds
	Memory           Memory
}

// Memory is what the kernel counts of a cgroup's memory, in bytes.
type Memory struct {
	RSS, Cache, Swap, MappedFile, Usage, MaxUsage, KernelUsage, KernelMaxUsage uint64
	// Measured names those of these that this kernel counts, as Nomad names them.
	Measured []string
}

// Watch makes it cheap to read what the task uses, until the function that it
// returns is called.
func (m *Meter) Watch() (done func()) {
	m.lock.Lock()
	defer m.lock.Unlock()
	if m.subscribers++; m.subscribers == 1 {
		m.idle.open(m.group)
	}
	return func() {
		m.lock.Lock()
		defer m.lock.Unlock()
		if m.subscribers--; m.subscribers == 0 {
			m.idle.close()
		}
	}
}

// Read returns what the task uses: now, or as it was read at most maxAge ago.
func (m *Meter) Read(maxAge time.Duration) *Usage {
	m.lock.Lock()
	defer m.lock.Unlock()
	if m.last != nil && time.Since(m.last.At) < maxAge {
		return m.last
	}
	r := newReader()
	defer r.release()
	u := &Usage{At: time.Now()}
	idle := m.idle.sinceLast(r) // before the rest is read: what is used meanwhile counts the next time
	if idle && m.last != nil && m.last.Group != nil && u.At.Sub(m.complete) < maxIdle {
		u.Processes, u.Group = m.last.Processes, m.last.Group
	} else {
		m.measure(r, u)
		m.complete = u.At
	}
	m.last = u
	return u
}

// measure reads all that is counted of the task.
func (m *Meter) measure(r *reader, u *Usage) {
	swapped := swapping()
	pids := m.pids()
	u.Processes = make([]Process, 0, len(pids))
	for _, pid := range pids {
		if p, err := r.process(pid, swapped); err == nil { // otherwise it has ended
			u.Processes = append(u.Processes, p)
		}
	}
	if group, err := r.group(m.group); err == nil {
		u.Group = group
	}
}

// Sum adds up the processes.
func (u *Usage) Sum() Process {
	var sum Process
	for i := range u.Processes {
		p := &u.Processes[i]
		sum.User += p.User
		sum.System += p.System
		sum.Total += p.Total
		sum.RSS += p.RSS
		sum.Swap += p.Swap
	}
	return sum
}
