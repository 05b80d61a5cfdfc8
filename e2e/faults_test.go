// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/hashicorp/nomad/api"

	"github.com/burin-labs/nomad-driver-harn/internal/kerneltest"
)

// faultPlan is how much the fault test does.
type faultPlan struct{ tasks, pluginKills, stormKills, agentRestarts, supervisorKills int }

var (
	shortFaults = faultPlan{tasks: 10, pluginKills: 6, stormKills: 4, agentRestarts: 2, supervisorKills: 4}
	fullFaults  = faultPlan{tasks: 50, pluginKills: 100, stormKills: 30, agentRestarts: 20, supervisorKills: 20}
)

// Environment variables of the fault test, set by "make faults".
const (
	faultsVariable = "HARN_FAULTS" // "full", or the short form
	seedVariable   = "HARN_FAULTS_SEED"
)

// faultTask writes each of its starts to a file, notes if another copy of it
// runs, and ends with its code when it is told so by a FIFO or by SIGTERM. The
// code is that of its allocation's index. Like a script it has children.
const faultTask = `
		set -o posix # read ends by a trapped signal
		code=$((NOMAD_ALLOC_INDEX + 1))
		trap 'exit $code' TERM
		exec 9>> local/lock
		flock -n 9 || echo overlap >> local/overlaps
		sleep 100000 9>&- & # harn-fault
		[ -e local/door ] || mkfifo local/door
		exec 8<> local/door
		echo start >> local/starts
		read line <&8
		exit $code`

func faultJob(name string, count, restarts int) string {
	task := script(faultTask, "") + `
      logs {
        disabled = true # a process of Nomad for each task otherwise
      }`
	return strings.NewReplacer(
		"group \"g\" {", fmt.Sprintf("group \"g\" {\n count = %d", count),
		"attempts = 0\n      mode     = \"fail\"", fmt.Sprintf("attempts = %d\n interval = \"1h\"\n delay = \"100ms\"\n mode = \"fail\"", restarts),
		"cpu    = 50", "cpu    = 10",
		"memory = 128", "memory = 24",
	).Replace(batch(name, task))
}

// faults are the state of the fault test.
type faults struct {
	t    testing.TB
	a    *client
	seed uint64
	jobs []string

	lock    sync.Mutex
	rng     *rand.Rand
	scanned int64           // bytes of the agent's log
	refused map[string]bool // see refusedByClient

	tasks, pluginKills, agentKills, supervisorKills   atomic.Int64
	starts, stops, execs, execsCut, exits, recoveries atomic.Int64
	refusals, left                                    atomic.Int64
}

func (f *faults) random(n int) int {
	f.lock.Lock()
	defer f.lock.Unlock()
	return f.rng.IntN(n)
}

func (f *faults) print() {
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, row := range []struct {
		name  string
		count *atomic.Int64
	}{
		{"tasks", &f.tasks},
		{"plugin kills", &f.pluginKills},
		{"agent restarts", &f.agentKills},
		{"supervisor kills", &f.supervisorKills},
		{"starts", &f.starts},
		{"stops", &f.stops},
		{"execs completed", &f.execs},
		{"execs cut off", &f.execsCut},
		{"exits checked", &f.exits},
		{"recoveries", &f.recoveries},
		{"placements lost by Nomad", &f.refusals},
		{"left-overs", &f.left},
	} {
		fmt.Fprintf(w, "%s\t%d\n", row.name, row.count.Load())
	}
	_ = w.Flush()
	fmt.Printf("\nfaults, seed %d\n%s\n", f.seed, b.String())
}

// member is an allocation of a job of this test.
type member struct {
	f     *faults
	id    string
	index int
}

func (m *member) file(name string) string {
	return fmt.Sprintf("%s/data/alloc/%s/t/local/%s", m.f.a.dir, m.id, name)
}

func (m *member) lines(name string) int {
	text, _ := os.ReadFile(m.file(name))
	return bytes.Count(text, []byte("\n"))
}

// release lets the task end by itself.
func (m *member) release() {
	door, err := os.OpenFile(m.file("door"), os.O_WRONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		m.f.t.Errorf("%s: %v: the task does not run", m.id, err)
		return
	}
	defer door.Close()
	_, _ = door.WriteString("go\n")
}

var refusal = regexp.MustCompile(`client: error adding alloc: .*plugin is shut down.* alloc_id=(\S+)`)

// refusedByClient reports whether the client has dropped the allocation: if the
// plugin is dead in the moment that it comes in, Nomad 1.11 logs an error and
// never looks at the allocation again. The driver is not even asked.
func (m *member) refusedByClient() bool {
	f := m.f
	f.lock.Lock()
	defer f.lock.Unlock()
	log, err := os.Open(f.a.log())
	if err != nil {
		f.t.Error(err)
		return false
	}
	defer log.Close()
	_, _ = log.Seek(f.scanned, io.SeekStart)
	text, _ := io.ReadAll(log)
	text = text[:bytes.LastIndexByte(text, '\n')+1]
	f.scanned += int64(len(text))
	for _, match := range refusal.FindAllSubmatch(text, -1) {
		f.refused[string(match[1])] = true
		f.refusals.Add(1)
	}
	return f.refused[m.id]
}

func (m *member) alloc() *api.Allocation {
	alloc, _, err := m.f.a.Allocations().Info(m.id, nil)
	if err != nil {
		return nil
	}
	return alloc
}

// launch registers a job and returns its allocations once all are placed.
func (f *faults) launch(name string, count, restarts int) []*member {
	parsed, err := f.a.Jobs().ParseHCL(faultJob(name, count, restarts), true)
	if err != nil {
		f.t.Fatal(err)
	}
	parsed.NodePool = &f.a.pool
	if _, _, err := f.a.Jobs().Register(parsed, nil); err != nil {
		f.t.Fatal(err)
	}
	f.lock.Lock()
	f.jobs = append(f.jobs, name)
	f.lock.Unlock()
	var members []*member
	eventually(f.t, name+": not all of its allocations are placed", func() bool {
		list, _, err := f.a.Jobs().Allocations(name, true, nil)
		if err != nil || len(list) < count {
			return false
		}
		for _, stub := range list {
			at := strings.LastIndexByte(stub.Name, '[')
			index, err := strconv.Atoi(strings.TrimSuffix(stub.Name[at+1:], "]"))
			if err != nil {
				f.t.Fatalf("allocation name %q", stub.Name)
			}
			members = append(members, &member{f, stub.ID, index})
		}
		return true
	})
	f.tasks.Add(int64(len(members)))
	slices.SortFunc(members, func(a, b *member) int { return a.index - b.index })
	return members
}

// untilStarted waits until all tasks wait at their doors, and Nomad knows. It
// returns those that the client has taken.
func (f *faults) untilStarted(members []*member) (started []*member) {
	for _, m := range members {
		givenUp := false
		eventually(f.t, m.id+" has not started", func() bool {
			if alloc := m.alloc(); alloc != nil && alloc.TaskStates["t"] != nil && alloc.TaskStates["t"].State == "dead" {
				// Nomad tries a start that the plugin's end has interrupted just once more.
				if givenUp = strings.Contains(describeEvents(alloc), "failed to start task after driver exited unexpectedly"); !givenUp {
					f.t.Fatalf("%s has ended before it has started\n%s", m.id, describeEvents(alloc))
				}
				f.refusals.Add(1)
			}
			return givenUp || m.lines("starts") > 0 || m.refusedByClient()
		})
		if givenUp || m.refusedByClient() {
			continue
		}
		started = append(started, m)
		eventually(f.t, m.id+" is not running", func() bool {
			alloc := m.alloc()
			return alloc != nil && alloc.TaskStates["t"] != nil && alloc.TaskStates["t"].State == "running"
		})
	}
	return started
}

func describeEvents(alloc *api.Allocation) string {
	var b strings.Builder
	for _, e := range alloc.TaskStates["t"].Events {
		fmt.Fprintf(&b, "  %s: %s\n", e.Type, e.DisplayMessage)
	}
	return b.String()
}

func (f *faults) untilDead(m *member) (alloc *api.Allocation) {
	f.t.Helper()
	eventually(f.t, m.id+" is not dead", func() bool {
		alloc = m.alloc()
		return alloc != nil && alloc.TaskStates["t"] != nil && alloc.TaskStates["t"].State == "dead"
	})
	return alloc
}

// check waits for the task's end and compares what it did with what Nomad
// knows. lost are tasks whose supervisor was killed.
func (f *faults) check(m *member, lost bool) {
	alloc := f.untilDead(m)
	// A start that failed because the plugin was killed twice during it may have
	// run, but was ended before the next one.
	known, unknown := 0, 0
	for _, e := range alloc.TaskStates["t"].Events {
		switch e.Type {
		case "Started":
			known++
		case "Driver Failure":
			unknown++
			if !strings.Contains(e.DisplayMessage, "driver exited unexpectedly") {
				f.t.Errorf("%s: %s", m.id, e.DisplayMessage)
			}
		}
	}
	truncated := len(alloc.TaskStates["t"].Events) >= 10 // Nomad keeps no more
	if truncated {
		known = int(alloc.TaskStates["t"].Restarts) + 1
	}
	f.starts.Add(int64(known))
	starts := m.lines("starts")
	if starts > known+unknown || m.lines("overlaps") > 0 {
		f.t.Errorf("%s: it has started %d times, %d copies at the same time, Nomad knows of %d starts and %d failed ones\n%s",
			m.id, starts, m.lines("overlaps"), known, unknown, describeEvents(alloc))
	}
	ended := 0
	for _, e := range alloc.TaskStates["t"].Events {
		if e.Type != "Terminated" {
			continue
		}
		ended++
		f.exits.Add(1)
		code, err := strconv.Atoi(e.Details["exit_code"])
		switch {
		case err != nil:
			f.t.Errorf("%s: exit code %q", m.id, e.Details["exit_code"])
		case lost && strings.Contains(e.DisplayMessage, "supervisor ended without recording"):
		case !lost && code == m.index+1:
		case !lost && code == 143 && starts < known+unknown: // stopped before it could set its trap
		default:
			f.t.Errorf("%s: exit code %d, want %d, lost %v\n%s", m.id, code, m.index+1, lost, describeEvents(alloc))
		}
	}
	if ended != known && !truncated {
		f.t.Errorf("%s: Nomad knows of %d starts and of %d ends\n%s", m.id, known, ended, describeEvents(alloc))
	}
}

// stopJob stops a job: Nomad ends its tasks.
func (f *faults) stopJob(name string, members []*member) {
	if _, _, err := f.a.Jobs().Deregister(name, false, nil); err != nil {
		f.t.Error(err)
	}
	f.stops.Add(int64(len(members)))
}

// exec runs a command in a task. Its end may be cut off, but not be wrong.
func (f *faults) exec(m *member) {
	ctx, cancel := context.WithTimeout(context.Background(), patience(10*time.Second))
	defer cancel()
	alloc := m.alloc()
	if alloc == nil {
		return
	}
	var out bytes.Buffer
	command := []string{"/bin/sh", "-c", "read x; echo got $x; exit 7"}
	code, err := f.a.Allocations().Exec(ctx, alloc, "t", false, command, strings.NewReader("input\n"), &out, io.Discard, nil, nil)
	switch {
	case err != nil:
		f.execsCut.Add(1)
	case code != 7 || out.String() != "got input\n":
		f.t.Errorf("exec in %s: exit code %d, output %q", m.id, code, out.String())
	default:
		f.execs.Add(1)
	}
}

// churn starts and stops tasks until it is told to stop.
func (f *faults) churn(name string, stop <-chan struct{}) {
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		default:
		}
		job := fmt.Sprintf("%s-%d", name, n)
		members := f.launch(job, 2, 5)
		// Nomad stops what starts as well as what runs.
		if f.random(3) > 0 {
			if started := f.untilStarted(members); f.random(2) == 0 && len(started) > 0 {
				started[0].release()
			}
		}
		f.stopJob(job, members)
		for _, m := range members {
			f.checkStopped(m)
		}
	}
}

// checkStopped is check for a task that may never have come to start.
func (f *faults) checkStopped(m *member) {
	eventually(f.t, m.id+" is not complete", func() bool {
		if m.refusedByClient() {
			return true
		}
		alloc := m.alloc()
		return alloc != nil && slices.Contains([]string{"complete", "failed"}, alloc.ClientStatus)
	})
	if alloc := m.alloc(); alloc != nil && alloc.TaskStates["t"] != nil && !m.refusedByClient() {
		f.check(m, false)
	}
}

var taskID = regexp.MustCompile(`(recovered task|started task|found task already started|removed what was left of a task).*task_id=(\S+)`)

// mentioned are the tasks that plugins have found again or started, by their
// log since a position in it.
func (f *faults) mentioned(since int64) map[string]bool {
	log, err := os.Open(f.a.log())
	if err != nil {
		f.t.Fatal(err)
	}
	defer log.Close()
	_, _ = log.Seek(since, io.SeekStart)
	text, _ := io.ReadAll(log)
	ids := map[string]bool{}
	for _, match := range taskID.FindAllSubmatch(text, -1) {
		ids[string(match[2])] = true
	}
	return ids
}

func (f *faults) logSize() int64 {
	info, err := os.Stat(f.a.log())
	if err != nil {
		f.t.Fatal(err)
	}
	return info.Size()
}

// supervisorIDs are the tasks that run, with their supervisors. One that waits for its task
// has none yet.
func (f *faults) supervisorIDs() map[string]int {
	ids := map[string]int{}
	for _, p := range kerneltest.Processes() {
		if p.Args[0] == "harn-supervisor" && len(p.Args) > 1 && !waits(p) {
			ids[p.Args[1]] = p.PID
		}
	}
	return ids
}

// killPlugin kills the plugin, and waits until the next one has found all
// tasks: Nomad takes a task for lost whose recovery is interrupted.
func (f *faults) killPlugin(release *member) {
	plugin, since := f.a.plugin(f.t), f.logSize()
	before := release != nil && f.random(2) == 0
	running := f.supervisorIDs()
	if before {
		release.release()
	}
	if err := syscall.Kill(plugin, syscall.SIGKILL); err != nil {
		f.t.Fatal(err)
	}
	if release != nil && !before {
		release.release()
	}
	f.pluginKills.Add(1)
	eventually(f.t, "the plugin was not started again", func() bool { return f.a.plugin(f.t) != plugin })
	missing := ""
	for end := time.Now().Add(patience(20 * time.Second)); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		found := f.mentioned(since)
		missing = ""
		for id := range running {
			if !found[id] {
				missing = id
			}
		}
		if missing == "" {
			f.recoveries.Add(int64(len(found)))
			return
		}
	}
	// It has ended just before the plugin did, or Nomad has forgotten it.
	if pid, ok := f.supervisorIDs()[missing]; ok {
		f.t.Errorf("task %s, supervisor %d, was not found by the next plugin", missing, pid)
	}
}

func (f *faults) phasePlugin(plan faultPlan) {
	fleet := f.launch("fleet-plugin", plan.tasks, 0)
	f.untilStarted(fleet)
	stop := make(chan struct{})
	var background sync.WaitGroup
	background.Go(func() { f.churn("churn", stop) })
	left := slices.Clone(fleet)
	background.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				f.exec(fleet[len(fleet)-1-f.random(plan.tasks/2)])
			}
		}
	})
	for range plan.pluginKills {
		time.Sleep(time.Duration(f.random(600)) * time.Millisecond)
		var release *member
		// The first half of them ends in the course of this.
		if len(left) > plan.tasks/2 && f.random(3) == 0 {
			release, left = left[0], left[1:]
		}
		f.killPlugin(release)
	}
	close(stop)
	background.Wait()
	f.stopJob("fleet-plugin", left)
	for _, m := range fleet {
		f.check(m, false)
	}
}

// phaseStorm kills plugins while they recover tasks. Nomad then starts a task
// again, and forgets about the one before: but there is never more than one.
func (f *faults) phaseStorm(plan faultPlan) {
	fleet := f.launch("fleet-storm", plan.tasks, 100)
	f.untilStarted(fleet)
	for range plan.stormKills {
		for _, pid := range running(f.a.dir + "/plugins/nomad-driver-harn") {
			_ = syscall.Kill(pid, syscall.SIGKILL)
			f.pluginKills.Add(1)
		}
		time.Sleep(time.Duration(f.random(300)) * time.Millisecond)
	}
	f.a.plugin(f.t)
	f.stopJob("fleet-storm", fleet)
	for _, m := range fleet {
		alloc := f.untilDead(m)
		known := int(alloc.TaskStates["t"].Restarts) + 1 // of events, Nomad keeps the last ten
		f.starts.Add(int64(known))
		if starts := m.lines("starts"); starts > known || m.lines("overlaps") > 0 {
			f.t.Errorf("%s: it has started %d times, %d copies at the same time, Nomad knows of %d starts\n%s",
				m.id, starts, m.lines("overlaps"), known, describeEvents(alloc))
		}
	}
}

func (f *faults) phaseAgent(plan faultPlan) {
	fleet := f.launch("fleet-agent", plan.tasks, 0)
	f.untilStarted(fleet)
	left := fleet
	for i := range plan.agentRestarts {
		plugins := running(f.a.dir + "/plugins/nomad-driver-harn")
		sig := []syscall.Signal{syscall.SIGKILL, syscall.SIGINT}[i%2]
		f.a.stop(f.t, sig)
		f.agentKills.Add(1)
		if len(left) > plan.tasks/2 {
			left[0].release()
			left = left[1:]
		}
		f.a.start(f.t)
		if after := running(f.a.dir + "/plugins/nomad-driver-harn"); len(after) != 1 || slices.Equal(plugins, after) {
			f.t.Errorf("the next agent has not the plugin of its own: plugin %v was the one before, there is %v", plugins, after)
		}
		if i%5 == 0 { // tasks start and end as ever
			name := fmt.Sprintf("between-%d", i)
			members := f.launch(name, 2, 0)
			f.untilStarted(members)
			f.stopJob(name, members)
			for _, m := range members {
				f.check(m, false)
			}
		}
	}
	f.exec(left[0])
	f.stopJob("fleet-agent", left)
	for _, m := range fleet {
		f.check(m, false)
	}
}

func (f *faults) phaseSupervisors(plan faultPlan) {
	fleet := f.launch("fleet-supervisors", plan.supervisorKills, 0)
	f.untilStarted(fleet)
	var pids []int
	for _, pid := range f.supervisorIDs() {
		pids = append(pids, pid)
	}
	for i, pid := range pids {
		if i == len(pids)/2 {
			// The others end while no plugin looks.
			plugin := f.a.plugin(f.t)
			defer eventually(f.t, "the plugin was not started again", func() bool { return f.a.plugin(f.t) != plugin })
			_ = syscall.Kill(plugin, syscall.SIGKILL)
			f.pluginKills.Add(1)
		}
		_ = syscall.Kill(pid, syscall.SIGKILL)
		f.supervisorKills.Add(1)
	}
	for _, m := range fleet {
		f.check(m, true)
	}
}

// leftovers is what there is of tasks.
func (f *faults) leftovers(allocs []string) []string {
	var left []string
	add := func(format string, args ...any) { left = append(left, fmt.Sprintf(format, args...)) }
	for _, p := range kerneltest.Processes() {
		if strings.HasPrefix(p.Args[0], "harn-") && !waits(p) || strings.Contains(strings.Join(p.Args, " "), "harn-fault") || slices.Equal(p.Args, []string{"sleep", "100000"}) {
			add("process %d %.80q", p.PID, p.Args)
		}
	}
	mounts, _ := os.ReadFile("/proc/self/mounts")
	for line := range strings.Lines(string(mounts)) {
		if target := strings.Fields(line)[1]; strings.HasPrefix(target, f.a.dir+"/") && target != f.a.dir+"/state" {
			add("mount %s", target)
		}
	}
	for _, pattern := range []string{"/sys/fs/cgroup/*/nomad/*", "/sys/fs/cgroup/*/nomad/reserve/*", "/sys/fs/cgroup/nomad.slice/*.slice/*"} {
		dirs, _ := filepath.Glob(pattern)
		for _, dir := range dirs {
			if slices.ContainsFunc(allocs, func(id string) bool { return strings.Contains(dir, id) }) {
				add("cgroup %s", dir)
			}
		}
	}
	for _, dir := range []string{"state", "data/alloc", "mounts"} {
		entries, _ := os.ReadDir(filepath.Join(f.a.dir, dir))
		for _, entry := range entries {
			add("%s/%s", dir, entry.Name())
		}
	}
	return left
}

// namespaces are those that the processes are in, without supervisors that wait.
func namespaces() []string {
	waiting := map[string]bool{}
	for _, p := range kerneltest.Processes() {
		waiting[fmt.Sprintf("/proc/%d", p.PID)] = waits(p)
	}
	var all []string
	links, _ := filepath.Glob("/proc/[0-9]*/ns/*")
	for _, link := range links {
		if name, err := os.Readlink(link); err == nil && !waiting[filepath.Dir(filepath.Dir(link))] {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// finish purges all jobs and lets Nomad collect its garbage. Then nothing is
// left.
func (f *faults) finish(before []string) {
	entries, _ := os.ReadDir(f.a.dir + "/data/alloc")
	var allocs []string
	for _, entry := range entries {
		allocs = append(allocs, entry.Name())
	}
	for _, name := range f.jobs {
		if _, _, err := f.a.Jobs().Deregister(name, true, nil); err != nil {
			f.t.Error(err)
		}
	}
	if err := f.a.System().GarbageCollect(); err != nil {
		f.t.Error(err)
	}
	var left []string
	for end := time.Now().Add(patience(60 * time.Second)); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		if left = f.leftovers(allocs); len(left) == 0 {
			break
		}
		_ = f.a.Nodes().GC(f.a.find().ID, nil)
	}
	for _, namespace := range namespaces() {
		if !slices.Contains(before, namespace) {
			left = append(left, "namespace "+namespace)
		}
	}
	f.left.Add(int64(len(left)))
	for _, text := range left {
		f.t.Errorf("left over: %s", text)
	}
}

// TestFaults kills the plugin, the agent and supervisors at random moments,
// while tasks start, stop, end and are entered. No task is lost or duplicated,
// no exit code is wrong, nothing is left at the end.
func TestFaults(t *testing.T) {
	plan := shortFaults
	if os.Getenv(faultsVariable) == "full" {
		plan = fullFaults
	}
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv(seedVariable); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("%s: %v", seedVariable, err)
		}
	}
	fmt.Printf("faults: to repeat, set %s=%d\n", seedVariable, seed)
	f := &faults{t: t, seed: seed, refused: map[string]bool{}, rng: rand.New(rand.NewPCG(seed, 0))}
	f.a = newClient(t, shared.server, poolName(t), options{client: `
  gc_interval           = "10m"
  cpu_total_compute     = 100000
  memory_total_mb       = 100000
`})
	defer f.print()
	t.Cleanup(func() {
		for _, name := range f.jobs {
			_, _, _ = f.a.Jobs().Deregister(name, true, nil)
		}
		if t.Failed() && os.Getenv(faultsVariable) == "full" {
			log, _ := os.ReadFile(f.a.log())
			name := filepath.Join(os.TempDir(), fmt.Sprintf("harn-faults-%d.log", seed))
			_ = os.WriteFile(name, log, 0o600)
			t.Logf("the agent's log is %s", name)
		}
	})
	before := namespaces()
	for _, phase := range []struct {
		name string
		run  func(faultPlan)
	}{{"plugin", f.phasePlugin}, {"storm", f.phaseStorm}, {"agent", f.phaseAgent}, {"supervisors", f.phaseSupervisors}} {
		began := time.Now()
		phase.run(plan)
		fmt.Printf("faults: phase %s took %v\n", phase.name, time.Since(began).Round(time.Second))
		if t.Failed() {
			return
		}
	}
	f.finish(before)
}
