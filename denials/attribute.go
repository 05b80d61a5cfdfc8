// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package denials

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/burin-labs/nomad-driver-harn/audit"
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
func (w *Watcher) sight(e *audit.Event) *sighting {
	s := &sighting{Event: *e, at: time.Now()}
	if w.domains[e.Domain] == nil && !e.Ended {
		s.denied, s.parent, s.creator = w.look(e.PID), w.look(e.Parent), w.look(e.Creator)
	}
	return s
}

// whose finds the task of an event, nil if it is nobody's that is known. In this
// order:
//
//   - A Landlock domain belongs to one task, once that is known. No domain of a
//     task's own making is logged, see [Log].
//   - The process that was denied, if it is still there, is in a task's cgroup or it
//     is none of ours, whoever its user is.
//   - If it has gone, those that it came from: a task's first process or supervisor,
//     a process in a task's cgroup.
//   - If they have gone as well, the user, but only a dynamic one: no other process
//     has it.
func (w *Watcher) whose(s *sighting) *report {
	if r := w.domains[s.Domain]; r != nil || s.Ended {
		return r
	}
	if s.denied.alive {
		return w.find(func(r *report) bool { return r.holds(&s.denied) })
	}
	for _, p := range []*process{&s.denied, &s.parent, &s.creator} {
		r := w.find(func(r *report) bool {
			return r.holds(p) || !p.alive && p.pid > 0 && p.pid == r.PID && r.mayBe(s.UID)
		})
		if r != nil {
			return r
		}
	}
	if r := w.find(func(r *report) bool { return s.parent.pid > 0 && s.parent.pid == r.Supervisor && r.mayBe(s.UID) }); r != nil {
		return r
	}
	if s.creator.alive {
		return nil // of a domain that somebody else made
	}
	return w.find(func(r *report) bool { return r.Dynamic && s.UID > 0 && uint32(s.UID) == r.UID })
}

// find returns the only task of which something is true.
func (w *Watcher) find(is func(*report) bool) *report {
	var found *report
	for _, r := range w.tasks {
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
func (r *report) holds(p *process) bool {
	switch {
	case !p.alive:
		return false
	case r.Cgroup == "" && r.pidNamespace == "": // nothing but itself tells
		return p.pid == r.PID
	case r.Cgroup == "":
		return p.pidNamespace == r.pidNamespace
	}
	for _, path := range p.cgroups {
		// It may be in a cgroup within. The path is as seen from the root of this
		// process's cgroup namespace, which is not always where the hierarchy is mounted.
		for ; len(path) > 1; path = path[:strings.LastIndexByte(path, '/')] {
			if strings.HasSuffix(r.Cgroup, path) {
				return true
			}
		}
	}
	return false
}

// mayBe reports whether a process with this user can be the task's; -1 is unknown.
// Of a task of root's, any can.
func (r *report) mayBe(uid int) bool {
	return uid < 0 || r.UID == 0 || uint32(uid) == r.UID
}
