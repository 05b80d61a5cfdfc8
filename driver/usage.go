// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/nomad/plugins/drivers"
	"golang.org/x/sys/unix"
)

// meter reads what a task uses. Who asks at nearly the same time shares what
// was read: that is a file of each process and some of the task's cgroups. They
// are not read again while the task uses neither CPU time nor memory.
type meter struct {
	lock        sync.Mutex
	last        *usage
	whole       time.Time // when all of it was read
	watch       watch
	subscribers int
}

// stand is how long a reading of a task stands that uses nothing. What its
// memory is used for may change then, while the sum does not.
const stand = time.Minute

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

// watchUsage makes it cheap to read what the task uses, until the function that
// it returns is called.
func (h *taskHandle) watchUsage() (done func()) {
	m := &h.meter
	m.lock.Lock()
	defer m.lock.Unlock()
	if m.subscribers++; m.subscribers == 1 {
		m.watch.open(h.cgroup)
	}
	return func() {
		m.lock.Lock()
		defer m.lock.Unlock()
		if m.subscribers--; m.subscribers == 0 {
			m.watch.close()
		}
	}
}

// usage is what the task uses: now, or as it was read at most maxAge ago.
func (h *taskHandle) usage(maxAge time.Duration) *usage {
	m := &h.meter
	m.lock.Lock()
	defer m.lock.Unlock()
	if m.last != nil && time.Since(m.last.at) < maxAge {
		return m.last
	}
	r := newReader()
	defer r.release()
	u := &usage{at: time.Now()}
	still := m.watch.still(r) // before the rest is read: what is used meanwhile counts the next time
	if still && m.last != nil && m.last.group != nil && u.at.Sub(m.whole) < stand {
		u.processes, u.group = m.last.processes, m.last.group
	} else {
		h.measure(r, u)
		m.whole = u.at
	}
	m.last = u
	return u
}

// measure reads all that is counted of the task.
func (h *taskHandle) measure(r *reader, u *usage) {
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

// file reads a file by system calls alone: an os.File would be offered to the
// runtime's poller first.
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

// counter is a number with a name, and where to put it.
type counter struct {
	name  string
	value *uint64
}

// counters reads lines of a name and a number each, and returns how many of
// these counters there are. A file that is missing, since a kernel can be built
// without its controller, has none.
func (r *reader) counters(path string, counters ...counter) (found int, err error) {
	text, err := r.file(path)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	for line := range bytes.Lines(text) {
		name, value, _ := bytes.Cut(bytes.TrimSpace(line), []byte{' '})
		for _, c := range counters {
			if c.name == string(name) {
				*c.value = decimal(value)
				found++
			}
		}
	}
	return found, nil
}

// numbers reads files of a directory that are one number each. Those that are
// missing count as 0.
func (r *reader) numbers(dir string, files ...counter) error {
	for _, f := range files {
		text, err := r.file(dir + "/" + f.name)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		*f.value = decimal(bytes.TrimSpace(text))
	}
	return nil
}

// decimal returns 0 for what is no number, as "max".
func decimal(text []byte) uint64 {
	n, _ := strconv.ParseUint(string(text), 10, 64)
	return n
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
	var total, user, system, throttled uint64 // microseconds
	if _, err := r.counters(path+"/cpu.stat",
		counter{"usage_usec", &total}, counter{"user_usec", &user}, counter{"system_usec", &system},
		counter{"nr_throttled", &u.throttledPeriods}, counter{"throttled_usec", &throttled},
	); err != nil {
		return nil, err
	}
	const us = time.Microsecond
	u.cpuTimes = cpuTimes{time.Duration(user) * us, time.Duration(system) * us, time.Duration(total) * us}
	u.throttledTime = throttled * uint64(us)

	m := &u.memory
	m.Measured = measuredByV2[:len(measuredByV2):len(measuredByV2)]
	always := []counter{{"anon", &m.RSS}, {"file", &m.Cache}, {"file_mapped", &m.MappedFile}}
	found, err := r.counters(path+"/memory.stat", append(always, counter{"kernel", &m.KernelUsage})...)
	if err != nil {
		return nil, err
	}
	if found > len(always) { // since Linux 5.18
		m.Measured = append(m.Measured, "Kernel Usage")
	}
	err = r.numbers(path, counter{"memory.current", &m.Usage}, counter{"memory.swap.current", &m.Swap}, counter{"memory.peak", &m.MaxUsage})
	if m.MaxUsage > 0 { // since Linux 5.19
		m.Measured = append(m.Measured, "Max Usage")
	}
	return u, err
}

// legacy reads the cgroups of v1, Documentation/admin-guide/cgroup-v1.
func (r *reader) legacy(g *cgroup) (*groupUsage, error) {
	u := &groupUsage{}
	if path := g.Paths["cpuacct"]; path != "" {
		var total, user, system uint64 // the first in nanoseconds, the others in ticks
		if _, err := r.counters(path+"/cpuacct.stat", counter{"user", &user}, counter{"system", &system}); err != nil {
			return nil, err
		}
		if err := r.numbers(path, counter{"cpuacct.usage", &total}); err != nil {
			return nil, err
		}
		u.cpuTimes = cpuTimes{time.Duration(user) * clockTick, time.Duration(system) * clockTick, time.Duration(total)}
	}
	if _, err := r.counters(g.Paths["cpu"]+"/cpu.stat",
		counter{"nr_throttled", &u.throttledPeriods}, counter{"throttled_time", &u.throttledTime},
	); err != nil {
		return nil, err
	}
	m, memory := &u.memory, g.Paths["memory"]
	m.Measured = measuredByV1
	if _, err := r.counters(memory+"/memory.stat",
		counter{"rss", &m.RSS}, counter{"cache", &m.Cache}, counter{"mapped_file", &m.MappedFile}, counter{"swap", &m.Swap},
	); err != nil {
		return nil, err
	}
	return u, r.numbers(memory,
		counter{"memory.usage_in_bytes", &m.Usage}, counter{"memory.max_usage_in_bytes", &m.MaxUsage},
		counter{"memory.kmem.usage_in_bytes", &m.KernelUsage}, counter{"memory.kmem.max_usage_in_bytes", &m.KernelMaxUsage})
}

// memoryLimit is what the kernel holds the task to, in bytes, and the most
// that it has used. Both are 0 if that is not known.
func (g *cgroup) memoryLimit() (limit, used uint64, err error) {
	r := newReader()
	defer r.release()
	u, err := r.group(g)
	if err != nil || u == nil {
		return 0, 0, err
	}
	if unified, v2 := g.Paths[""]; v2 {
		err = r.numbers(unified, counter{"memory.max", &limit})
	} else {
		err = r.numbers(g.Paths["memory"], counter{"memory.limit_in_bytes", &limit})
	}
	return limit, u.memory.MaxUsage, err
}
