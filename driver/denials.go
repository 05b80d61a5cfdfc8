// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/hashicorp/nomad/plugins/drivers"
	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/audit"
	"github.com/burin-labs/nomad-driver-harn/executor"
	"github.com/burin-labs/nomad-driver-harn/internal/plain"
	"github.com/burin-labs/nomad-driver-harn/landlock"
	"github.com/burin-labs/nomad-driver-harn/seccomp"
)

// Values of the plugin option denial_events.
const (
	denialsAuto   = "auto"   // where auditing is enabled already
	denialsOff    = "off"    // never
	denialsEnable = "enable" // auditing is enabled for it
)

// startAudit decides whether denials are reported here. The error is the reason
// why not.
func startAudit(option string) (*audit.Reader, error) {
	if option == denialsOff {
		return nil, fmt.Errorf("the plugin option denial_events is %q", denialsOff)
	}
	err := audit.Enabled()
	if option == denialsEnable && errors.Is(err, audit.ErrDisabled) {
		err = audit.Enable()
	}
	if err != nil {
		return nil, err
	}
	return audit.Open()
}

// logDenials has the kernel log what the confinement denies. What is
// done to prove the ruleset is never logged, nor what a domain denies that the task
// makes itself: it could deny anything, and name any path in a chroot. A task cannot
// undo that, nor can what it starts, landlock_restrict_self(2). So all that Landlock
// logs of a task's processes was denied by a domain of the driver's making.
func logDenials(c *executor.Confinement, abi landlock.ABI, on bool) {
	if c.Ruleset != nil {
		c.LandlockFlags = landlock.LogSameExecOff | landlock.LogSubdomainsOff
		if on {
			c.LandlockFlags |= landlock.LogNewExecOn
		}
		c.LandlockFlags &= abi.Rights().Flags
	}
	c.LogFilter = on && c.Filter != nil
}

// denials finds out whose each denial is, and reports it. It never stands in a
// task's way: what cannot be reported is left out.
type denials struct {
	warn func(message string, args ...any)
	emit func(cfg *drivers.TaskConfig, message string)
	// unread and lost are said once.
	unread, lost sync.Once

	lock      sync.Mutex
	assembler audit.Assembler
	tasks     map[string]*denialReport // by task ID
	domains   map[uint64]*denialReport
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

func newDenials(warn func(string, ...any), emit func(*drivers.TaskConfig, string)) *denials {
	return &denials{warn: warn, emit: emit, look: lookAt, tasks: map[string]*denialReport{}, domains: map[uint64]*denialReport{}}
}

// read takes all that comes, until the socket fails.
func (d *denials) read(r *audit.Reader) {
	for {
		kind, text, lost, err := r.Next()
		if err != nil {
			d.warn("denials are no longer reported", "error", err)
			return
		}
		if lost {
			d.lost.Do(func() { d.warn("some denials are not reported: they came too fast") })
		}
		d.record(kind, text)
	}
}

func (d *denials) record(kind uint16, text string) {
	d.lock.Lock()
	defer d.lock.Unlock()
	before := d.assembler.Pending()
	events, err := d.assembler.Add(kind, text)
	if err != nil {
		d.unread.Do(func() { d.warn("an audit record cannot be read", "error", err) })
	}
	d.handle(events)
	if !before && d.assembler.Pending() {
		time.AfterFunc(flushDelay, func() {
			d.lock.Lock()
			defer d.lock.Unlock()
			d.handle(d.assembler.Flush())
		})
	}
}

func (d *denials) handle(events []audit.Event) {
	for i := range events {
		seen := d.sight(&events[i])
		if r := d.whose(seen); r != nil {
			d.assign(r, &seen.Event)
			continue
		}
		if seen.Ended || len(seen.Denials) == 0 {
			continue
		}
		if len(d.strays) == maxStrays {
			d.strays = d.strays[1:]
		}
		d.strays = append(d.strays, seen)
	}
}

func (d *denials) assign(r *denialReport, e *audit.Event) {
	if e.Domain != 0 && d.domains[e.Domain] == nil {
		if r.domains++; r.domains == 1 {
			r.silent = make(chan struct{})
		}
		d.domains[e.Domain] = r
	}
	if e.Ended {
		delete(d.domains, e.Domain)
		if r.domains--; r.domains == 0 {
			close(r.silent)
		}
	}
	r.add(r.credible(e.Denials))
}

// follow reports what a task is denied, from now until it has ended. The
// channel is closed when all is reported.
func (d *denials) follow(h *taskHandle) <-chan struct{} {
	reported := make(chan struct{})
	if d == nil {
		close(reported)
		return reported
	}
	r := &denialReport{
		config: h.config, taskDir: h.state.TaskDir, emit: d.emit, warn: d.warn,
		pid: h.task.PID(), supervisor: h.task.Supervisor().PID, uid: h.task.User().UID, cgroup: h.cgroup.own(),
		dynamic: isDynamic(h.state.UserName), places: h.state.Places, filter: h.task.Filter(),
	}
	if r.cgroup == "" {
		if r.pidNamespace = pidNamespace(r.pid); r.pidNamespace == pidNamespace(os.Getpid()) {
			r.pidNamespace = ""
		}
	}
	d.lock.Lock()
	d.tasks[h.config.ID] = r
	strays := d.strays
	d.strays = nil
	for _, s := range strays {
		if time.Since(s.at) < strayTime {
			if r := d.whose(s); r != nil {
				d.assign(r, &s.Event)
			} else {
				d.strays = append(d.strays, s)
			}
		}
	}
	d.lock.Unlock()
	go func() {
		defer close(reported)
		<-h.task.Done()
		d.settle(r)
		d.lock.Lock()
		if d.tasks[h.config.ID] == r {
			delete(d.tasks, h.config.ID)
		}
		for domain, of := range d.domains {
			if of == r {
				delete(d.domains, domain)
			}
		}
		d.lock.Unlock()
		r.finish()
	}()
	return reported
}

// How long the kernel may take to tell of the last denials of a task that has
// ended: it says when a domain that has denied something is gone.
const (
	settleTime       = 50 * time.Millisecond
	settleDomainTime = 250 * time.Millisecond
)

func (d *denials) settle(r *denialReport) {
	d.lock.Lock()
	most, silent := settleTime, r.silent
	if r.domains > 0 {
		most = settleDomainTime
	} else {
		silent = nil
	}
	d.lock.Unlock()
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-silent:
	case <-timer.C:
	}
}

// denialReport is what is reported of one task: all of it in its list of
// denials, and up to maxDenialEvents events.
type denialReport struct {
	config  *drivers.TaskConfig
	taskDir string
	emit    func(cfg *drivers.TaskConfig, message string)
	warn    func(message string, args ...any)
	// What tells its processes from others, see whose.
	pid, supervisor int
	uid             uint32
	cgroup          string // "" if it has none
	pidNamespace    string // if it has no cgroup; "" if that is the host's
	dynamic         bool   // uid is nobody else's
	// What it can be denied: nil for anything.
	places *places
	filter *seccomp.Filter
	// Of denials, under its lock:
	domains int           // those that have denied something, and are not gone
	silent  chan struct{} // closed when the last of them is gone

	lock     sync.Mutex
	unlisted audit.Tally // not in the list yet
	untold   audit.Tally // of which there was no event yet
	timer    *time.Timer
	finished bool

	// reporting is held while reports are made, which can take as long as a disk
	// takes: not with lock, for which the reader of the log waits.
	reporting sync.Mutex
	told      time.Time
	events    int
	failed    bool
}

// Nomad keeps the last ten events of a task, and all drivers' and its own are
// among them. The last of ours is for the task's end.
const (
	maxDenialEvents = 3
	denialPeriod    = time.Second // from the first denial to its event
	denialPause     = time.Minute // between events
)

func (r *denialReport) add(denied []audit.Denial) {
	if len(denied) == 0 {
		return
	}
	r.lock.Lock()
	defer r.lock.Unlock()
	if r.finished {
		return
	}
	for _, d := range denied {
		r.unlisted.Add(d)
		r.untold.Add(d)
	}
	if r.timer == nil {
		r.timer = time.AfterFunc(denialPeriod, r.report)
	}
}

// report lists what was denied since the last time, and tells of it unless
// there was an event lately.
func (r *denialReport) report() {
	r.reporting.Lock()
	defer r.reporting.Unlock()
	r.list()
	if r.events < maxDenialEvents-1 && time.Since(r.told) >= denialPause {
		r.tell()
	}
}

// finish reports what is left when the task has ended.
func (r *denialReport) finish() {
	r.reporting.Lock()
	defer r.reporting.Unlock()
	r.lock.Lock()
	r.finished = true
	r.lock.Unlock()
	r.list()
	r.tell()
}

// take returns what a tally has, and empties it.
func (r *denialReport) take(tally *audit.Tally) audit.Tally {
	r.lock.Lock()
	defer r.lock.Unlock()
	taken := *tally
	*tally = audit.Tally{}
	return taken
}

func (r *denialReport) tell() {
	denied := r.take(&r.untold)
	if denied.Empty() {
		return
	}
	r.emit(r.config, fmt.Sprintf("Harn denied %s. All of it: nomad alloc fs %.8s alloc/logs/%s",
		denied.Summary(), r.config.AllocID, plain.Name(denialsFile(r.config.Name))))
	r.told = time.Now()
	r.events++
}

func (r *denialReport) list() {
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
		lines = append(lines, audit.Line{Denial: d, Task: r.config.Name, TaskDir: r.taskDir})
	}
	f, err := openDenials(r.config.AllocDir, r.config.Name)
	if err == nil {
		err = appendDenials(f, lines)
		f.Close()
	}
	// A full disk, for instance. That the allocation is gone is no error.
	if err != nil && !r.failed && !errors.Is(err, unix.ENOENT) {
		r.failed = true
		r.warn("the list of denials cannot be written", "task_id", r.config.ID, "error", err)
	}
}
