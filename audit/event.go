// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package audit

import (
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/burin-labs/nomad-driver-harn/internal/plain"
	"github.com/burin-labs/nomad-driver-harn/seccomp"
)

// Kinds of denials.
const (
	FS      = "fs"      // an access to a file or directory
	Net     = "net"     // an access to a port
	Scope   = "scope"   // reaching a process or an abstract UNIX socket outside
	Syscall = "syscall" // a system call
	Egress  = "egress"  // a host that the task's rules do not admit
)

// EgressRight is the right that is missing of a denial of egress.
const EgressRight = "egress.connect"

// Denial is something that was denied.
type Denial struct {
	Time time.Time `json:"time"`
	Kind string    `json:"kind"`
	// Rights are those that were missing, as the kernel names them:
	// "fs.write_file". For a system call, its name alone.
	Rights []string `json:"rights"`
	// Path is of the file; for rights to make or remove something, of the
	// directory that it was to be made in or removed from. It is as the process
	// sees it.
	Path string `json:"path,omitempty"`
	// Port is the TCP or UDP port, of the other side if the right is one to
	// connect.
	Port int `json:"port,omitempty"`
	// Host is the name, or the address, of a denial of egress, whose Port is 0 if it was
	// only looked up; Reason is why it was denied.
	Host   string `json:"host,omitempty"`
	Reason string `json:"reason,omitempty"`
	// Command and PID are of the process, as the host sees it; 0 if unknown.
	Command string `json:"comm,omitempty"`
	PID     int    `json:"pid,omitempty"`
	// Count is how many times it was denied.
	Count int `json:"count"`
}

// String says what was denied: "fs.write_file /etc/passwd". What a task could
// have chosen is quoted if it is not plain text.
func (d *Denial) String() string {
	if d.Kind == Egress {
		return "egress to " + plain.Name(d.host())
	}
	names := make([]string, len(d.Rights))
	for i, name := range d.Rights {
		if _, err := strconv.Atoi(strings.TrimPrefix(name, unnamed)); d.Kind == Syscall && err == nil {
			names[i] = name // it has a space
			continue
		}
		names[i] = plain.Name(name)
	}
	s := strings.Join(names, ",")
	if d.Kind == Syscall {
		s = "the system call " + s
	}
	if d.Path != "" {
		s += " " + plain.Name(d.Path)
	}
	if d.Port != 0 {
		s += " port " + strconv.Itoa(d.Port)
	}
	return s
}

// host is the host of a denial of egress, with the port if there is one.
func (d *Denial) host() string {
	if d.Port == 0 {
		return d.Host
	}
	return net.JoinHostPort(d.Host, strconv.Itoa(d.Port))
}

// Reads reports whether the rights missing are those of reading a file: they change nothing.
func (d *Denial) Reads() bool {
	return !slices.ContainsFunc(d.Rights, func(right string) bool {
		return right != "fs.execute" && right != "fs.read_file" && right != "fs.read_dir"
	})
}

// unnamed begins the name of a system call that is not in the driver's tables; its
// number follows.
const unnamed = "syscall "

// Event is what one call of a process was denied.
type Event struct {
	Denials []Denial
	// Domain is the Landlock domain that denied it, 0 if none did.
	Domain uint64
	// Creator is the process that entered the domain first; known with the
	// first denial of a domain.
	Creator int
	// PID, Parent and UID are of the process, as the host sees them; -1 if
	// unknown.
	PID, Parent, UID int
	// Ended: nobody is in the domain any longer.
	Ended bool
}

// maxPending is how many events can be incomplete at a time: what the kernel
// writes of one event comes close together.
const maxPending = 64

// Assembler makes events of records, which come one by one, those of several
// events in any order.
type Assembler struct {
	pending map[string]*Event
	order   []string
}

// Add takes a record. It returns the events that are complete with it. A record
// that cannot be read is an error; those of no interest are passed over.
func (a *Assembler) Add(kind uint16, text string) ([]Event, error) {
	switch kind {
	case typeSyscall, typeEnd, typeSeccomp, typeLandlockAccess, typeLandlockDomain:
	default:
		return nil, nil
	}
	r, err := parse(text)
	if err != nil {
		return nil, err
	}
	e := a.pending[r.serial]
	switch kind {
	case typeSeccomp: // an event of its own
		return []Event{seccompEvent(&r)}, nil
	case typeSyscall, typeEnd: // of some event, and only of denials do we want it
		if e == nil {
			return nil, nil
		}
		if kind == typeEnd {
			return a.take(r.serial), nil
		}
		e.PID, e.Parent, e.UID = r.number("pid"), r.number("ppid"), r.number("uid")
		for i := range e.Denials {
			e.Denials[i].PID, e.Denials[i].Command = max(e.PID, 0), r.fields["comm"]
		}
		return nil, nil
	}
	var evicted []Event
	if e == nil {
		if len(a.order) >= maxPending {
			evicted = a.take(a.order[0])
		}
		e = &Event{PID: -1, Parent: -1, UID: -1}
		if a.pending == nil {
			a.pending = map[string]*Event{}
		}
		a.pending[r.serial] = e
		a.order = append(a.order, r.serial)
	}
	e.Domain, _ = strconv.ParseUint(r.fields["domain"], 16, 64)
	if kind == typeLandlockAccess {
		e.Denials = append(e.Denials, landlockDenial(&r))
		return evicted, nil
	}
	switch r.fields["status"] {
	case "allocated":
		e.Creator = max(r.number("pid"), 0)
		if e.UID < 0 {
			e.UID = r.number("uid")
		}
	case "deallocated":
		e.Ended = true
		return append(evicted, a.take(r.serial)...), nil
	}
	return evicted, nil
}

// Pending reports whether there are incomplete events.
func (a *Assembler) Pending() bool { return len(a.order) > 0 }

// Flush returns the incomplete events as they are. The kernel does not mark the
// end of events of processes that are older than the first time that auditing
// was enabled.
func (a *Assembler) Flush() []Event {
	var events []Event
	for len(a.order) > 0 {
		events = append(events, a.take(a.order[0])...)
	}
	return events
}

func (a *Assembler) take(serial string) []Event {
	e := a.pending[serial]
	delete(a.pending, serial)
	a.order = slices.DeleteFunc(a.order, func(s string) bool { return s == serial })
	return []Event{*e}
}

func landlockDenial(r *record) Denial {
	d := Denial{Time: r.at, Rights: strings.Split(r.fields["blockers"], ","), Path: r.fields["path"], Count: 1}
	d.Kind, _, _ = strings.Cut(d.Rights[0], ".")
	for _, field := range []string{"dest", "src"} {
		if port := r.number(field); port > 0 {
			d.Port = port
			break
		}
	}
	return d
}

func seccompEvent(r *record) Event {
	d := Denial{Time: r.at, Kind: Syscall, Count: 1, PID: max(r.number("pid"), 0), Command: r.fields["comm"]}
	name := unnamed + r.fields["syscall"]
	if audit, err := strconv.ParseUint(r.fields["arch"], 16, 32); err == nil {
		for _, arch := range []*seccomp.Arch{seccomp.AMD64, seccomp.ARM64} {
			if number := r.number("syscall"); arch.Audit == uint32(audit) && number >= 0 {
				name = arch.Syscall(uint32(number))
			}
		}
	}
	d.Rights = []string{name}
	return Event{Denials: []Denial{d}, PID: r.number("pid"), Parent: -1, UID: r.number("uid")}
}
