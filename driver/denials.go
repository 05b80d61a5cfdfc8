// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/nomad/plugins/drivers"
	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/audit"
	"github.com/burin-labs/nomad-driver-harn/executor"
	"github.com/burin-labs/nomad-driver-harn/internal/plain"
	"github.com/burin-labs/nomad-driver-harn/landlock"
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
// done to prove the ruleset is never logged.
func logDenials(c *executor.Confinement, abi landlock.ABI, on bool) {
	if c.Ruleset != nil {
		c.LandlockFlags = landlock.LogSameExecOff
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
	strays    []stray
}

// stray is an event of a task that is not known yet: it can be denied something
// before the plugin hears that it was started.
type stray struct {
	audit.Event
	at time.Time
}

const (
	// flushDelay is how long what comes of one event may take.
	flushDelay = 100 * time.Millisecond
	// How many strays are kept, and how long.
	maxStrays = 256
	strayTime = 10 * time.Second
)

func newDenials(warn func(string, ...any), emit func(*drivers.TaskConfig, string)) *denials {
	return &denials{warn: warn, emit: emit, tasks: map[string]*denialReport{}, domains: map[uint64]*denialReport{}}
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
	for _, e := range events {
		if r := d.whose(&e); r != nil {
			d.assign(r, &e)
			continue
		}
		if e.Ended || len(e.Denials) == 0 {
			continue
		}
		if len(d.strays) == maxStrays {
			d.strays = d.strays[1:]
		}
		d.strays = append(d.strays, stray{e, time.Now()})
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
	r.add(e.Denials)
}

// whose finds the task of an event: by its Landlock domain, if that is known;
// by the processes that have to do with it; by its user, if that is no other
// task's.
func (d *denials) whose(e *audit.Event) *denialReport {
	if r := d.domains[e.Domain]; r != nil || e.Ended {
		return r
	}
	// The first of them can have ended, and its number be another's by now; but
	// not in the moment that the kernel takes to tell of it.
	pids := []int{e.Creator, e.PID, e.Parent}
	for _, pid := range pids {
		for _, r := range d.tasks {
			if pid > 0 && pid == r.pid {
				return r
			}
		}
	}
	for _, pid := range pids {
		if pid <= 0 {
			continue
		}
		of := cgroupsOf(pid)
		for _, r := range d.tasks {
			if r.inCgroup(of) {
				return r
			}
		}
	}
	var found *denialReport
	for _, r := range d.tasks {
		if e.UID <= 0 || e.UID == nobodyUID || uint32(e.UID) != r.uid {
			continue
		}
		if found != nil {
			return nil
		}
		found = r
	}
	return found
}

// nobodyUID is a user of many things that are no tasks.
const nobodyUID = 65534

// cgroupsOf are the paths of a process's cgroups, as /proc/PID/cgroup has them.
func cgroupsOf(pid int) []string {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return nil
	}
	var paths []string
	for line := range strings.Lines(string(data)) {
		if fields := strings.SplitN(strings.TrimSpace(line), ":", 3); len(fields) == 3 && fields[2] != "/" {
			paths = append(paths, fields[2])
		}
	}
	return paths
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
		pid: h.task.PID(), uid: h.task.User().UID, cgroup: h.cgroup.own(),
	}
	d.lock.Lock()
	d.tasks[h.config.ID] = r
	strays := d.strays
	d.strays = nil
	for _, s := range strays {
		if time.Since(s.at) < strayTime {
			d.handleStray(s)
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

func (d *denials) handleStray(s stray) {
	if r := d.whose(&s.Event); r != nil {
		d.assign(r, &s.Event)
	} else {
		d.strays = append(d.strays, s)
	}
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
	pid     int
	uid     uint32
	cgroup  string
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

func (r *denialReport) inCgroup(paths []string) bool {
	for _, path := range paths {
		if r.cgroup != "" && strings.HasSuffix(r.cgroup, path) {
			return true
		}
	}
	return false
}

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
