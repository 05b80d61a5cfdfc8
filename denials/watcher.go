// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Package denials finds out whose what the kernel logs as denied is, and reports it
// to the task's user. It never stands in a task's way: what cannot be reported is
// left out.
package denials

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/burin-labs/nomad-driver-harn/audit"
	"github.com/burin-labs/nomad-driver-harn/executor"
	"github.com/burin-labs/nomad-driver-harn/landlock"
	"github.com/burin-labs/nomad-driver-harn/seccomp"
)

// Values of the plugin option denial_events.
const (
	Auto   = "auto"   // where auditing is enabled already
	Off    = "off"    // never
	Enable = "enable" // auditing is enabled for it
)

// Open opens the audit log, if denials are to be reported here. The error is the reason
// why not.
func Open(option string) (*audit.Reader, error) {
	if option == Off {
		return nil, fmt.Errorf("the plugin option denial_events is %q", Off)
	}
	err := audit.Enabled()
	if option == Enable && errors.Is(err, audit.ErrDisabled) {
		err = audit.Enable()
	}
	if err != nil {
		return nil, err
	}
	return audit.Open()
}

// Log has the kernel log what the confinement denies. What is
// done to prove the ruleset is never logged, nor what a domain denies that the task
// makes itself: it could deny anything, and name any path in a chroot. A task cannot
// undo that, nor can what it starts, landlock_restrict_self(2). So all that Landlock
// logs of a task's processes was denied by a domain of the driver's making.
func Log(c *executor.Confinement, abi landlock.ABI, on bool) {
	if c.Ruleset != nil {
		c.LandlockFlags = landlock.LogSameExecOff | landlock.LogSubdomainsOff
		if on {
			c.LandlockFlags |= landlock.LogNewExecOn
		}
		c.LandlockFlags &= abi.Rights().Flags
	}
	c.LogFilter = on && c.Filter != nil
}

// Watcher reports the denials of the tasks that it follows. A nil one follows none.
type Watcher struct {
	warn func(message string, args ...any)
	// unread, lost and failed are said once.
	unread, lost, failed sync.Once

	lock      sync.Mutex
	assembler audit.Assembler
	tasks     map[string]*report // by task ID
	domains   map[uint64]*report
	strays    []*sighting
	// look finds a process out, as the host sees it.
	look func(pid int) process
}

const (
	// flushDelay is how long what comes of one event may take.
	flushDelay = 100 * time.Millisecond
	// How many strays are kept, and how long.
	maxStrays = 256
	strayTime = 10 * time.Second
)

// New makes a watcher. warn is for the operator.
func New(warn func(message string, args ...any)) *Watcher {
	return &Watcher{warn: warn, look: lookAt, tasks: map[string]*report{}, domains: map[uint64]*report{}}
}

// reader is an [audit.Reader].
type reader interface {
	Next() (kind uint16, text string, lost bool, err error)
	Reopen() error
}

// reopenPeriod is the time between attempts to read on after an error.
var reopenPeriod = 5 * time.Second

// Read takes all that comes, for good.
func (w *Watcher) Read(r *audit.Reader) { w.read(r) }

func (w *Watcher) read(r reader) {
	for {
		kind, text, lost, err := r.Next()
		if lost {
			w.lost.Do(func() { w.warn("some denials are not reported: they came too fast") })
		}
		if err == nil {
			w.record(kind, text)
			continue
		}
		for err != nil {
			w.failed.Do(func() {
				w.warn("the audit log cannot be read, and it is tried again: denials are missing meanwhile", "error", err)
			})
			time.Sleep(reopenPeriod)
			err = r.Reopen()
		}
	}
}

func (w *Watcher) record(kind uint16, text string) {
	w.lock.Lock()
	defer w.lock.Unlock()
	before := w.assembler.Pending()
	events, err := w.assembler.Add(kind, text)
	if err != nil {
		w.unread.Do(func() { w.warn("an audit record cannot be read", "error", err) })
	}
	w.handle(events)
	if !before && w.assembler.Pending() {
		time.AfterFunc(flushDelay, func() {
			w.lock.Lock()
			defer w.lock.Unlock()
			w.handle(w.assembler.Flush())
		})
	}
}

func (w *Watcher) handle(events []audit.Event) {
	for i := range events {
		seen := w.sight(&events[i])
		if r := w.whose(seen); r != nil {
			w.assign(r, &seen.Event)
			continue
		}
		if seen.Ended || len(seen.Denials) == 0 {
			continue
		}
		if len(w.strays) == maxStrays {
			w.strays = w.strays[1:]
		}
		w.strays = append(w.strays, seen)
	}
}

func (w *Watcher) assign(r *report, e *audit.Event) {
	if e.Domain != 0 && w.domains[e.Domain] == nil {
		if r.domains++; r.domains == 1 {
			r.silent = make(chan struct{})
		}
		w.domains[e.Domain] = r
	}
	if e.Ended {
		delete(w.domains, e.Domain)
		if r.domains--; r.domains == 0 {
			close(r.silent)
		}
	}
	r.add(r.credible(e.Denials))
}

// Task is a task that is followed.
type Task struct {
	ID, AllocID, Name string
	// AllocDir is the allocation's directory on the host, Dir that of the task as
	// this sees it.
	AllocDir, Dir string
	// PID and Supervisor are the task's first process and the one that has started it.
	PID, Supervisor int
	UID             uint32
	Dynamic         bool   // UID is nobody else's
	Cgroup          string // in which it is alone; "" if there is none
	// What it can be denied: nil for anything.
	Places *Places
	Filter *seccomp.Filter
	// Egress are the events of the task's forwarder; nil if it has none.
	Egress io.ReadCloser
	// Done is closed when the task has ended.
	Done <-chan struct{}
	// Emit sends a message to the task's user.
	Emit func(message string)
	// Count is told of each denial that is reported; nil if nobody counts.
	Count func(d *audit.Denial)
}

// Follow reports what a task is denied, from now until it has ended. The
// channel is closed when all is reported.
//
// Of a nil watcher, that is what its egress rules deny: nothing else knows of that.
func (w *Watcher) Follow(t *Task, warn func(message string, args ...any)) <-chan struct{} {
	reported := make(chan struct{})
	if w == nil && t.Egress == nil {
		close(reported)
		return reported
	}
	r := &report{Task: t, warn: warn}
	read := make(chan struct{})
	go func() {
		defer close(read)
		if t.Egress != nil {
			r.readEgress(t.Egress)
		}
	}()
	if w != nil {
		w.add(r)
	}
	go func() {
		defer close(reported)
		<-t.Done
		if w != nil {
			w.awaitLast(r)
			w.remove(r)
		}
		if t.Egress != nil {
			// The forwarder ends with the task, and with it what it has to tell.
			select {
			case <-read:
			case <-time.After(lastDomainTime):
			}
			t.Egress.Close()
			<-read
		}
		r.finish()
	}()
	return reported
}

// add adds a task to those that are followed.
func (w *Watcher) add(r *report) {
	t := r.Task
	if t.Cgroup == "" {
		if r.pidNamespace = pidNamespace(t.PID); r.pidNamespace == pidNamespace(os.Getpid()) {
			r.pidNamespace = ""
		}
	}
	w.lock.Lock()
	w.tasks[t.ID] = r
	strays := w.strays
	w.strays = nil
	for _, s := range strays {
		if time.Since(s.at) < strayTime {
			if r := w.whose(s); r != nil {
				w.assign(r, &s.Event)
			} else {
				w.strays = append(w.strays, s)
			}
		}
	}
	w.lock.Unlock()
}

// remove removes a task from those that are followed.
func (w *Watcher) remove(r *report) {
	w.lock.Lock()
	defer w.lock.Unlock()
	if w.tasks[r.ID] == r {
		delete(w.tasks, r.ID)
	}
	for domain, of := range w.domains {
		if of == r {
			delete(w.domains, domain)
		}
	}
}

// How long the kernel may take to tell of the last denials of a task that has
// ended: it says when a domain that has denied something is gone.
const (
	lastTime       = 50 * time.Millisecond
	lastDomainTime = 250 * time.Millisecond
)

func (w *Watcher) awaitLast(r *report) {
	w.lock.Lock()
	most, silent := lastTime, r.silent
	if r.domains > 0 {
		most = lastDomainTime
	} else {
		silent = nil
	}
	w.lock.Unlock()
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-silent:
	case <-timer.C:
	}
}
