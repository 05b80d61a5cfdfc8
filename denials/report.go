// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package denials

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/audit"
	"github.com/burin-labs/nomad-driver-harn/internal/plain"
)

// report is what is reported of one task: all of it in its list of
// denials, and up to maxEvents events.
type report struct {
	*Task
	warn         func(message string, args ...any)
	pidNamespace string // if it has no cgroup; "" if that is the host's
	// Of the watcher, under its lock:
	domains int           // those that have denied something, and are not gone
	silent  chan struct{} // closed when the last of them is gone

	lock     sync.Mutex
	unlisted audit.Tally // not in the list yet
	unsent   audit.Tally // of which there was no event yet
	timer    *time.Timer
	finished bool

	// reporting is held while reports are made, which can take as long as a disk
	// takes: not with lock, for which the reader of the log waits.
	reporting sync.Mutex
	lastEvent time.Time
	events    int
	failed    bool
}

// Nomad keeps the last ten events of a task, and all drivers' and its own are
// among them. The last of ours is for the task's end.
const (
	maxEvents  = 3
	eventDelay = time.Second // from the first denial to its event
	eventPause = time.Minute // between events
)

func (r *report) add(denied []audit.Denial) {
	if len(denied) == 0 {
		return
	}
	r.lock.Lock()
	defer r.lock.Unlock()
	if r.finished {
		return
	}
	for i, d := range denied {
		r.unlisted.Add(d)
		r.unsent.Add(d)
		if r.Count != nil {
			r.Count(&denied[i])
		}
	}
	if r.timer == nil {
		r.timer = time.AfterFunc(eventDelay, r.update)
	}
}

// update lists what was denied since the last time, and sends an event unless
// there was one lately.
func (r *report) update() {
	r.reporting.Lock()
	defer r.reporting.Unlock()
	r.list()
	if r.events < maxEvents-1 && time.Since(r.lastEvent) >= eventPause {
		r.send()
	}
}

// finish reports what is left when the task has ended.
func (r *report) finish() {
	r.reporting.Lock()
	defer r.reporting.Unlock()
	r.lock.Lock()
	r.finished = true
	r.lock.Unlock()
	r.list()
	r.send()
}

// take returns what a tally has, and empties it.
func (r *report) take(tally *audit.Tally) audit.Tally {
	r.lock.Lock()
	defer r.lock.Unlock()
	taken := *tally
	*tally = audit.Tally{}
	return taken
}

func (r *report) send() {
	denied := r.take(&r.unsent)
	if denied.Empty() {
		return
	}
	r.Emit(fmt.Sprintf("Harn denied %s. All of it: nomad alloc fs %.8s alloc/logs/%s",
		denied.Summary(), r.AllocID, plain.Name(FileName(r.Name))))
	r.lastEvent = time.Now()
	r.events++
}

func (r *report) list() {
	r.lock.Lock()
	if r.timer != nil {
		r.timer.Stop()
		r.timer = nil
	}
	r.lock.Unlock()
	denied := r.take(&r.unlisted)
	if denied.Empty() {
		return
	}
	var lines []audit.Line
	for _, d := range denied.Denials() {
		lines = append(lines, audit.Line{Denial: d, Task: r.Name, TaskDir: r.Dir})
	}
	f, err := OpenFile(r.AllocDir, FileName(r.Name))
	if err == nil {
		err = appendLines(f, lines)
		f.Close()
	}
	// A full disk, for instance. That the allocation is gone is no error.
	if err != nil && !r.failed && !errors.Is(err, unix.ENOENT) {
		r.failed = true
		r.warn("the list of denials cannot be written", "task_id", r.ID, "error", err)
	}
}
