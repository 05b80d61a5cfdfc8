// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/burin-labs/nomad-driver-harn/audit"
	"github.com/burin-labs/nomad-driver-harn/sandbox"
)

// sighting is an event, and what its processes were when it came. It may have to
// wait: a task can be denied something before the plugin hears that it was started.
type sighting struct {
	audit.Event
	at                      time.Time
	denied, parent, creator process
}

// process is what the host's /proc knows of one.
type process struct {
	pid int
	// alive: the rest is known. A PID is not given to another process in the moment
	// that the kernel takes to tell of a denial.
	alive        bool
	cgroups      []string // as /proc/PID/cgroup has them
	pidNamespace string
}

func lookAt(pid int) process {
	p := process{pid: pid}
	if pid <= 0 {
		return p
	}
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return p
	}
	for line := range strings.Lines(string(data)) {
		if fields := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3); len(fields) == 3 {
			p.cgroups = append(p.cgroups, fields[2])
		}
	}
	p.pidNamespace = pidNamespace(pid)
	// A process that has ended and is not reaped has left its cgroups.
	p.alive = p.pidNamespace != ""
	return p
}

// pidNamespace is the name of a process's PID namespace, "" if it has ended.
func pidNamespace(pid int) string {
	name, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", pid))
	if err != nil {
		return ""
	}
	return name
}

// sight looks at the processes of an event, unless its domain says whose it is.
func (d *denials) sight(e *audit.Event) *sighting {
	s := &sighting{Event: *e, at: time.Now()}
	if d.domains[e.Domain] == nil && !e.Ended {
		s.denied, s.parent, s.creator = d.look(e.PID), d.look(e.Parent), d.look(e.Creator)
	}
	return s
}

// whose finds the task of an event, nil if it is nobody's that is known. In this
// order:
//
//   - A Landlock domain belongs to one task, once that is known. No domain of a
//     task's own making is logged, see logDenials.
//   - The process that was denied, if it is still there, is in a task's cgroup or it
//     is none of ours, whoever its user is.
//   - If it has gone, those that it came from: a task's first process or supervisor,
//     a process in a task's cgroup.
//   - If they have gone as well, the user, but only a dynamic one: no other process
//     has it.
func (d *denials) whose(s *sighting) *denialReport {
	if r := d.domains[s.Domain]; r != nil || s.Ended {
		return r
	}
	if s.denied.alive {
		return d.find(func(r *denialReport) bool { return r.holds(&s.denied) })
	}
	for _, p := range []*process{&s.denied, &s.parent, &s.creator} {
		r := d.find(func(r *denialReport) bool {
			return r.holds(p) || !p.alive && p.pid > 0 && p.pid == r.pid && r.mayBe(s.UID)
		})
		if r != nil {
			return r
		}
	}
	if r := d.find(func(r *denialReport) bool { return s.parent.pid > 0 && s.parent.pid == r.supervisor && r.mayBe(s.UID) }); r != nil {
		return r
	}
	if s.creator.alive {
		return nil // of a domain that somebody else made
	}
	return d.find(func(r *denialReport) bool { return r.dynamic && s.UID > 0 && uint32(s.UID) == r.uid })
}

// find returns the only task of which something is true.
func (d *denials) find(is func(*denialReport) bool) *denialReport {
	var found *denialReport
	for _, r := range d.tasks {
		if !is(r) {
			continue
		}
		if found != nil {
			return nil
		}
		found = r
	}
	return found
}

// holds reports whether a process is the task's, by where the kernel has it.
func (r *denialReport) holds(p *process) bool {
	switch {
	case !p.alive:
		return false
	case r.cgroup == "" && r.pidNamespace == "": // nothing but itself tells
		return p.pid == r.pid
	case r.cgroup == "":
		return p.pidNamespace == r.pidNamespace
	}
	for _, path := range p.cgroups {
		// It may be in a cgroup within. The path is as seen from the root of this
		// process's cgroup namespace, which is not always where the hierarchy is mounted.
		for ; len(path) > 1; path = path[:strings.LastIndexByte(path, '/')] {
			if strings.HasSuffix(r.cgroup, path) {
				return true
			}
		}
	}
	return false
}

// mayBe reports whether a process with this user can be the task's; -1 is unknown.
// Of a task of root's, any can.
func (r *denialReport) mayBe(uid int) bool {
	return uid < 0 || r.uid == 0 || uint32(uid) == r.uid
}

// isDynamic reports whether a user is one that Nomad has handed out: no other
// process of the host has it.
func isDynamic(name string) bool { return sandbox.IsDynamic(name) }
