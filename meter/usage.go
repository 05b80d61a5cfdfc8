// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package meter

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/cgroup"
)

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
func (r *reader) process(pid int, swapped bool) (Process, error) {
	p := Process{PID: pid}
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
			p.User = time.Duration(decimal(word)) * clockTick
		case stime:
			p.System = time.Duration(decimal(word)) * clockTick
		case rss:
			p.RSS = decimal(word) * pageSize
		}
	}
	if field < rss {
		return p, fmt.Errorf("%s/stat has %d fields, expected %d or more", path, field, rss)
	}
	p.Total = p.User + p.System
	if !swapped {
		return p, nil
	}
	status, err := r.file(path + "/status")
	if err != nil {
		return p, err
	}
	for line := range bytes.Lines(status) {
		if kb, ok := bytes.CutPrefix(line, []byte("VmSwap:")); ok {
			p.Swap = decimal(bytes.TrimSpace(bytes.TrimSuffix(bytes.TrimSpace(kb), []byte("kB")))) << 10
		}
	}
	return p, nil
}

// group reads what is counted of a task's cgroup. It returns nil if the task
// has none.
func (r *reader) group(g *cgroup.Group) (*Group, error) {
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
func (r *reader) unified(path string) (*Group, error) {
	u := &Group{}
	var total, user, system, throttled uint64 // microseconds
	if _, err := r.counters(path+"/cpu.stat",
		counter{"usage_usec", &total}, counter{"user_usec", &user}, counter{"system_usec", &system},
		counter{"nr_throttled", &u.ThrottledPeriods}, counter{"throttled_usec", &throttled},
	); err != nil {
		return nil, err
	}
	const us = time.Microsecond
	u.CPU = CPU{time.Duration(user) * us, time.Duration(system) * us, time.Duration(total) * us}
	u.ThrottledTime = throttled * uint64(us)

	m := &u.Memory
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
func (r *reader) legacy(g *cgroup.Group) (*Group, error) {
	u := &Group{}
	if path := g.Paths["cpuacct"]; path != "" {
		var total, user, system uint64 // the first in nanoseconds, the others in ticks
		if _, err := r.counters(path+"/cpuacct.stat", counter{"user", &user}, counter{"system", &system}); err != nil {
			return nil, err
		}
		if err := r.numbers(path, counter{"cpuacct.usage", &total}); err != nil {
			return nil, err
		}
		u.CPU = CPU{time.Duration(user) * clockTick, time.Duration(system) * clockTick, time.Duration(total)}
	}
	if _, err := r.counters(g.Paths["cpu"]+"/cpu.stat",
		counter{"nr_throttled", &u.ThrottledPeriods}, counter{"throttled_time", &u.ThrottledTime},
	); err != nil {
		return nil, err
	}
	m, memory := &u.Memory, g.Paths["memory"]
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

// MemoryLimit is what the kernel holds the cgroups to, in bytes, and the most that
// they have used. Both are 0 if that is not known.
func MemoryLimit(g *cgroup.Group) (limit, used uint64, err error) {
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
	return limit, u.Memory.MaxUsage, err
}
