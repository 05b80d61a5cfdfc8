// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/nomad/plugins/drivers"
	"golang.org/x/sys/unix"
)

// meter reads what a task uses. Who asks at nearly the same time shares what
// was read: it costs some 20 files, once a second for each task of the node.
type meter struct {
	lock sync.Mutex
	last *usage
}

// usage is what the kernel has counted of a task. It is not changed once it is
// read.
type usage struct {
	at        time.Time
	processes []processUsage
	group     *groupUsage // nil without cgroups
}

// cpuTimes are CPU times since the start.
type cpuTimes struct {
	user, system, total time.Duration
}

// processUsage is what /proc says of a process.
type processUsage struct {
	cpuTimes
	pid       int
	rss, swap uint64 // bytes
}

// groupUsage is what the kernel counts of a cgroup.
type groupUsage struct {
	cpuTimes
	throttledPeriods uint64
	throttledTime    uint64 // nanoseconds
	memory           drivers.MemoryStats
}

// usage is what the task uses: now, or as it was read at most maxAge ago.
func (h *taskHandle) usage(maxAge time.Duration) *usage {
	h.meter.lock.Lock()
	defer h.meter.lock.Unlock()
	if last := h.meter.last; last != nil && time.Since(last.at) < maxAge {
		return last
	}
	r := newReader()
	defer r.release()
	u := &usage{at: time.Now()}
	swapped := swapping()
	pids := h.pids()
	u.processes = make([]processUsage, 0, len(pids))
	for _, pid := range pids {
		if p, err := r.process(pid, swapped); err == nil { // otherwise it has ended
			u.processes = append(u.processes, p)
		}
	}
	if group, err := r.group(h.cgroup); err == nil {
		u.group = group
	}
	h.meter.last = u
	return u
}

// sum adds up the processes.
func (u *usage) sum() processUsage {
	var sum processUsage
	for i := range u.processes {
		p := &u.processes[i]
		sum.user += p.user
		sum.system += p.system
		sum.total += p.total
		sum.rss += p.rss
		sum.swap += p.swap
	}
	return sum
}

// reader reads files in which the kernel writes numbers. The text of one is
// gone when the next is read.
type reader struct{ buffer [16 << 10]byte }

var readers = sync.Pool{New: func() any { return new(reader) }}

func newReader() *reader   { return readers.Get().(*reader) }
func (r *reader) release() { readers.Put(r) }

// file reads a file by system calls alone: an os.File would be registered with
// the runtime's poller at first, which costs as much again.
func (r *reader) file(path string) ([]byte, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	for size := 0; size < len(r.buffer); {
		n, err := unix.Read(fd, r.buffer[size:])
		if err != nil {
			return nil, &os.PathError{Op: "read", Path: path, Err: err}
		}
		if n == 0 {
			return r.buffer[:size], nil
		}
		size += n
	}
	return nil, fmt.Errorf("%s: longer than %d bytes", path, len(r.buffer))
}

// number reads a file that is one number.
func (r *reader) number(path string) (uint64, error) {
	text, err := r.file(path)
	if err != nil {
		return 0, err
	}
	return decimal(bytes.TrimSpace(text)), nil
}

// decimal returns 0 for what is no number, as "max".
func decimal(text []byte) uint64 {
	n, _ := strconv.ParseUint(string(text), 10, 64)
	return n
}

// lines calls f with the first word of each line, and the rest of it.
func lines(text []byte, f func(name string, value []byte)) {
	for len(text) > 0 {
		var line []byte
		line, text, _ = bytes.Cut(text, []byte{'\n'})
		if name, value, ok := bytes.Cut(line, []byte{' '}); ok {
			f(string(name), value)
		}
	}
}

// swapping reports whether anything on the machine is swapped out, sysinfo(2).
func swapping() bool {
	var info unix.Sysinfo_t
	return unix.Sysinfo(&info) != nil || info.Freeswap < info.Totalswap
}

// clockTick is the unit of CPU times in /proc and cpuacct, sysconf(3)
// _SC_CLK_TCK: 100 a second on every architecture that Go runs on.
const clockTick = time.Second / 100

var pageSize = uint64(os.Getpagesize())

// process reads proc_pid_stat(5), and proc_pid_status(5) where something may
// be swapped out.
func (r *reader) process(pid int, swapped bool) (processUsage, error) {
	p := processUsage{pid: pid}
	path := "/proc/" + strconv.Itoa(pid)
	stat, err := r.file(path + "/stat")
	if err != nil {
		return p, err
	}
	const utime, stime, rss = 14, 15, 24
	rest := stat[bytes.LastIndexByte(stat, ')')+1:]
	field := 2 // the name, which may hold anything
	for word := range bytes.FieldsSeq(rest) {
		field++
		switch field {
		case utime:
			p.user = time.Duration(decimal(word)) * clockTick
		case stime:
			p.system = time.Duration(decimal(word)) * clockTick
		case rss:
			p.rss = decimal(word) * pageSize
		}
	}
	if field < rss {
		return p, fmt.Errorf("%s/stat has %d fields, expected %d or more", path, field, rss)
	}
	p.total = p.user + p.system
	if !swapped {
		return p, nil
	}
	status, err := r.file(path + "/status")
	if err != nil {
		return p, err
	}
	for line := range bytes.Lines(status) {
		if kb, ok := bytes.CutPrefix(line, []byte("VmSwap:")); ok {
			p.swap = decimal(bytes.TrimSpace(bytes.TrimSuffix(bytes.TrimSpace(kb), []byte("kB")))) << 10
		}
	}
	return p, nil
}

// group reads what is counted of a task's cgroup. It returns nil if the task
// has none.
func (r *reader) group(g *cgroup) (*groupUsage, error) {
	if len(g.Paths) == 0 {
		return nil, nil
	}
	if path, v2 := g.Paths[""]; v2 {
		return r.unified(path)
	}
	return r.legacy(g)
}

// What is measured in cgroups.
var (
	measuredByV1 = []string{"RSS", "Cache", "Swap", "Mapped File", "Usage", "Max Usage", "Kernel Usage", "Kernel Max Usage"}
	measuredByV2 = []string{"RSS", "Cache", "Swap", "Mapped File", "Usage"}
)

// unified reads a cgroup of v2, Documentation/admin-guide/cgroup-v2.rst.
func (r *reader) unified(path string) (*groupUsage, error) {
	u := &groupUsage{}
	text, err := r.file(path + "/cpu.stat")
	if err != nil {
		return nil, err
	}
	lines(text, func(name string, value []byte) {
		switch name {
		case "usage_usec":
			u.total = time.Duration(decimal(value)) * time.Microsecond
		case "user_usec":
			u.user = time.Duration(decimal(value)) * time.Microsecond
		case "system_usec":
			u.system = time.Duration(decimal(value)) * time.Microsecond
		case "nr_throttled":
			u.throttledPeriods = decimal(value)
		case "throttled_usec":
			u.throttledTime = decimal(value) * uint64(time.Microsecond)
		}
	})
	m := &u.memory
	m.Measured = measuredByV2[:len(measuredByV2):len(measuredByV2)]
	if text, err = r.file(path + "/memory.stat"); err != nil {
		return nil, err
	}
	lines(text, func(name string, value []byte) {
		switch name {
		case "anon":
			m.RSS = decimal(value)
		case "file":
			m.Cache = decimal(value)
		case "file_mapped":
			m.MappedFile = decimal(value)
		case "kernel": // since Linux 5.18
			m.KernelUsage = decimal(value)
			m.Measured = append(m.Measured, "Kernel Usage")
		}
	})
	if m.Usage, err = r.number(path + "/memory.current"); err != nil {
		return nil, err
	}
	m.Swap, _ = r.number(path + "/memory.swap.current") // not without CONFIG_SWAP
	if m.MaxUsage, err = r.number(path + "/memory.peak"); err == nil {
		m.Measured = append(m.Measured, "Max Usage") // since Linux 5.19
	}
	return u, nil
}

// legacy reads the cgroups of v1, Documentation/admin-guide/cgroup-v1.
func (r *reader) legacy(g *cgroup) (*groupUsage, error) {
	u := &groupUsage{}
	if path := g.Paths["cpuacct"]; path != "" {
		total, err := r.number(path + "/cpuacct.usage")
		if err != nil {
			return nil, err
		}
		u.total = time.Duration(total)
		text, err := r.file(path + "/cpuacct.stat")
		if err != nil {
			return nil, err
		}
		lines(text, func(name string, value []byte) {
			switch name {
			case "user":
				u.user = time.Duration(decimal(value)) * clockTick
			case "system":
				u.system = time.Duration(decimal(value)) * clockTick
			}
		})
	}
	text, err := r.file(g.Paths["cpu"] + "/cpu.stat")
	if err != nil {
		return nil, err
	}
	lines(text, func(name string, value []byte) {
		switch name {
		case "nr_throttled":
			u.throttledPeriods = decimal(value)
		case "throttled_time":
			u.throttledTime = decimal(value)
		}
	})
	m, memory := &u.memory, g.Paths["memory"]
	m.Measured = measuredByV1
	if text, err = r.file(memory + "/memory.stat"); err != nil {
		return nil, err
	}
	lines(text, func(name string, value []byte) {
		switch name {
		case "rss":
			m.RSS = decimal(value)
		case "cache":
			m.Cache = decimal(value)
		case "mapped_file":
			m.MappedFile = decimal(value)
		case "swap": // not if swap is not accounted
			m.Swap = decimal(value)
		}
	})
	for _, f := range []struct {
		name  string
		value *uint64
	}{
		{"/memory.usage_in_bytes", &m.Usage},
		{"/memory.max_usage_in_bytes", &m.MaxUsage},
		{"/memory.kmem.usage_in_bytes", &m.KernelUsage},
		{"/memory.kmem.max_usage_in_bytes", &m.KernelMaxUsage},
	} {
		if *f.value, err = r.number(memory + f.name); err != nil {
			return nil, err
		}
	}
	return u, nil
}

// memoryLimit is what the kernel holds the task to, in bytes, and the most
// that it has used.
func (g *cgroup) memoryLimit() (limit, used uint64, err error) {
	r := newReader()
	defer r.release()
	u, err := r.group(g)
	if err != nil || u == nil {
		return 0, 0, err
	}
	path := g.Paths["memory"] + "/memory.limit_in_bytes"
	if unified, v2 := g.Paths[""]; v2 {
		path = unified + "/memory.max"
	}
	limit, err = r.number(path)
	return limit, u.memory.MaxUsage, err
}
