// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/nomad/plugins/drivers"

	"github.com/burin-labs/nomad-driver-harn/audit"
	"github.com/burin-labs/nomad-driver-harn/executor"
	"github.com/burin-labs/nomad-driver-harn/landlock"
	"github.com/burin-labs/nomad-driver-harn/seccomp"
)

// watched adds a task to denials, as follow does for one that runs.
func watched(t *testing.T, d *denials, name string, pid int, uid uint32) *denialReport {
	t.Helper()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "alloc", "logs"), 0o755); err != nil {
		t.Fatal(err)
	}
	r := &denialReport{
		config: &drivers.TaskConfig{ID: name, Name: name, AllocID: "0123456789", AllocDir: dir}, taskDir: "/task",
		emit: d.emit, warn: d.warn, pid: pid, uid: uid,
	}
	d.tasks[name] = r
	return r
}

func listed(t *testing.T, r *denialReport) []audit.Line {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(r.config.AllocDir, "alloc", "logs", r.config.Name+".denials.ndjson"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	lines, err := audit.ReadLines(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

// The records of a real kernel are found to be the task's whose first process
// made the domain, and nobody else's.
func TestDenialsAreTheTasks(t *testing.T) {
	events := map[string][]string{}
	d := newDenials(func(message string, args ...any) { t.Errorf("warning: %s %v", message, args) },
		func(cfg *drivers.TaskConfig, message string) { events[cfg.Name] = append(events[cfg.Name], message) })
	d.table(nil)
	// Process and user are of the records.
	mine, other := watched(t, d, "mine", 184, 65534), watched(t, d, "other", 999999, 1001)

	f, err := os.Open("../audit/testdata/linux-7.3.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		number, text, _ := strings.Cut(lines.Text(), " ")
		kind, _ := strconv.Atoi(number)
		if kind == 1326 {
			continue // its process is long gone, and has left no trace
		}
		d.record(uint16(kind), text)
	}
	mine.finish()
	other.finish()
	if len(events["mine"]) != 1 || !strings.Contains(events["mine"][0], "fs.make_reg /tmp (3 times), ") || len(events["other"]) != 0 {
		t.Errorf("events: %q", events)
	}
	total := 0
	for _, line := range listed(t, mine) {
		total += line.Count
	}
	if total != 23 || len(listed(t, other)) != 0 {
		t.Errorf("%d denials are listed, expected 23; of the other: %v", total, listed(t, other))
	}
	if len(d.domains) != 0 || mine.domains != 0 {
		t.Errorf("the domain is gone, but not here: %v", d.domains)
	}
}

// table has a denials find out processes as a host has had them: "/cgroup" is one
// in that cgroup; those that are not listed have ended.
func (d *denials) table(processes map[int]string) {
	d.look = func(pid int) process {
		cgroup, alive := processes[pid]
		return process{pid: pid, alive: alive, cgroups: []string{"/", cgroup}, pidNamespace: "pid:[1]"}
	}
}

func TestWhoseADenialIs(t *testing.T) {
	d := newDenials(nil, nil)
	const dynamicUID = 80_001
	mine, named := watched(t, d, "mine", 100, dynamicUID), watched(t, d, "named", 200, 1000)
	mine.cgroup, mine.dynamic, mine.supervisor = "/sys/fs/cgroup/nomad.slice/share.slice/a.mine.scope", true, 99
	named.cgroup, named.supervisor = "/sys/fs/cgroup/freezer/nomad/b.named", 199
	d.table(map[int]string{
		1: "/init.scope", 99: "/system.slice/nomad.service", 199: "/system.slice/nomad.service",
		100: "/nomad.slice/share.slice/a.mine.scope", 101: "/nomad.slice/share.slice/a.mine.scope",
		102: "/nomad.slice/share.slice/a.mine.scope/within", 200: "/nomad/b.named",
		300: "/user.slice/session-1.scope", 301: "/user.slice/b.named.scope", 302: "/user.slice/nomad/b.nam",
	})
	const gone = 555
	for name, tc := range map[string]struct {
		event audit.Event
		want  *denialReport
	}{
		"first process":                     {audit.Event{PID: 100, Parent: 99, UID: dynamicUID}, mine},
		"another one":                       {audit.Event{PID: 101, Parent: 1, UID: dynamicUID}, mine},
		"of another user":                   {audit.Event{PID: 101, Parent: 1, UID: 4}, mine},
		"in a cgroup within":                {audit.Event{PID: 102, Parent: -1, UID: dynamicUID}, mine},
		"ended, child of one":               {audit.Event{PID: gone, Parent: 200, UID: 1000}, named},
		"ended, child of the supervisor":    {audit.Event{PID: gone, Parent: 199, UID: 1000}, named},
		"ended, in a domain of one":         {audit.Event{PID: gone, Parent: gone + 1, Creator: 200, UID: 1000, Domain: 7}, named},
		"ended, of a dynamic user":          {audit.Event{PID: gone, Parent: -1, UID: dynamicUID}, mine},
		"ended, of a user with a name":      {audit.Event{PID: gone, Parent: -1, UID: 1000}, nil},
		"host's, of the named user":         {audit.Event{PID: 300, Parent: 1, UID: 1000}, nil},
		"host's, of the dynamic user":       {audit.Event{PID: 300, Parent: 1, UID: dynamicUID}, nil},
		"host's, a child of a task's":       {audit.Event{PID: 300, Parent: 200, UID: 1000}, nil},
		"host's, in a cgroup of that name":  {audit.Event{PID: 301, Parent: 1, UID: 1000}, nil},
		"host's, in a cgroup alike":         {audit.Event{PID: 302, Parent: 1, UID: 1000}, nil},
		"host's domain, process ended":      {audit.Event{PID: gone, Parent: gone + 1, Creator: 300, UID: dynamicUID, Domain: 8}, nil},
		"ended, a supervisor's, not as him": {audit.Event{PID: gone, Parent: 199, UID: 1001}, nil},
		"nothing known":                     {audit.Event{PID: -1, Parent: -1, UID: -1}, nil},
		"root":                              {audit.Event{PID: -1, Parent: -1, UID: 0}, nil},
	} {
		if got := d.whose(d.sight(&tc.event)); got != tc.want {
			t.Errorf("%s: %+v", name, got)
		}
	}
	// Without a cgroup and a PID namespace, the first process is all that is known.
	named.cgroup = ""
	for pid, want := range map[int]*denialReport{200: named, 300: nil} {
		if got := d.whose(d.sight(&audit.Event{PID: pid, Parent: 200, UID: 1000})); got != want {
			t.Errorf("process %d, without a cgroup: %+v", pid, got)
		}
	}
	// What a process was is known later, when the task is.
	early := d.sight(&audit.Event{PID: 101, Parent: 1, UID: 4})
	d.table(nil)
	if got := d.whose(early); got != mine {
		t.Errorf("after its end: %+v", got)
	}
	// A dynamic user that two tasks have is nobody's.
	two := watched(t, d, "two", 400, dynamicUID)
	two.dynamic = true
	if got := d.whose(d.sight(&audit.Event{PID: gone, Parent: -1, UID: dynamicUID})); got != nil {
		t.Errorf("a user of two tasks: %+v", got)
	}
}

// Real processes: the task's own, and one of the host that has its user.
func TestHostProcessOfTheTasksUser(t *testing.T) {
	h := newHarness(t, nil)
	cfg := h.task(sh("sleep 60 & sleep 60"))
	h.start(cfg)
	handle := h.handle(cfg.ID)
	d := newDenials(h.driver.logger.Warn, func(*drivers.TaskConfig, string) {})
	reported := d.follow(handle)
	host := exec.Command("sleep", "60")
	host.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: handle.task.User().UID, Gid: handle.task.User().GID}}
	if err := host.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = host.Process.Kill(); _ = host.Wait() })
	uid := int(handle.task.User().UID)
	ours := 0
	for _, pid := range h.pids(cfg.ID) {
		if got := d.whose(d.sight(&audit.Event{PID: pid, Parent: 1, UID: uid})); got == nil || got.config.ID != cfg.ID {
			t.Errorf("process %d of the task: %+v", pid, got)
		} else {
			ours++
		}
	}
	if ours == 0 {
		t.Error("the task has no processes")
	}
	if got := d.whose(d.sight(&audit.Event{PID: host.Process.Pid, Parent: os.Getpid(), UID: uid})); got != nil {
		t.Errorf("the host's process: %+v", got)
	}
	// Without a cgroup, the PID namespace tells.
	r := d.tasks[cfg.ID]
	r.cgroup, r.pidNamespace = "", pidNamespace(handle.task.PID())
	if got := d.whose(d.sight(&audit.Event{PID: handle.task.PID(), Parent: 1, UID: uid})); got != r {
		t.Errorf("by PID namespace: %+v", got)
	}
	if got := d.whose(d.sight(&audit.Event{PID: host.Process.Pid, Parent: 1, UID: uid})); got != nil {
		t.Errorf("the host's process, by PID namespace: %+v", got)
	}
	handle.task.Kill()
	<-reported
}

// A task has the kernel name paths that it makes up, and calls that a filter of its
// own denies. Neither is reported.
func TestDenialsAreCredible(t *testing.T) {
	world := &executor.World{PrivateRoot: true, Mounts: []executor.Mount{
		{Type: executor.Dir, Target: "/root"},
		{Type: executor.Dir, Target: "/opt"},
		{Type: executor.Bind, Target: "/usr"},
		{Type: executor.Bind, Target: "/srv/models/small"},
		{Type: executor.Tmpfs, Target: "/dev", ReadOnly: true},
		{Type: executor.Device, Target: "/dev/null"},
		{Type: executor.Tmpfs, Target: "/var/nomad", ReadOnly: true},
		{Type: executor.Bind, Target: "/var/nomad/a/t"},
		{Type: executor.Symlink, Target: "/lib", Source: "usr/lib"},
	}}
	p := placesOf(world)
	for path, want := range map[string]bool{
		"/opt": true, "/root": true, "/usr/bin/x": true, "/srv/models": true, "/srv/models/small/x": true, "/": true, "/dev/null": true, "/dev": true,
		"/var/nomad": true, "/var/nomad/a/t/local": true, "/var/nomad/a": true,
		"/root/.ssh": false, "/root/.ssh/id": false, "/opt/x": false, "/srv/models/large": false, "/home": false, "/dev/sda": false,
		"/var/nomad/b/t/secrets": false, "/usr/../root/.ssh": false, "memfd:x": false, "": false, "/lib/x": false, "/usrx": false,
	} {
		if got := p.show(path); got != want {
			t.Errorf("%s: %v", path, got)
		}
	}
	if placesOf(&executor.World{}) != nil {
		t.Error("the host's view")
	}
	r := &denialReport{places: p, filter: seccomp.Deny("mount", "socket")}
	got := r.credible([]audit.Denial{
		{Kind: audit.FS, Rights: []string{"fs.read_file"}, Path: "/root/.ssh/id"},
		{Kind: audit.FS, Rights: []string{"fs.read_dir"}, Path: "/opt"},
		{Kind: audit.Syscall, Rights: []string{"socket"}},
		{Kind: audit.Syscall, Rights: []string{"openat"}},
		{Kind: audit.Syscall, Rights: []string{"syscall 9999"}},
	})
	var text []string
	for _, d := range got {
		text = append(text, d.String())
	}
	if want := "fs.read_file, fs.read_dir /opt, the system call socket, the system call syscall 9999"; strings.Join(text, ", ") != want {
		t.Errorf("%s, expected %s", strings.Join(text, ", "), want)
	}
}

// Where the kernel can, it is told to log nothing that a domain of the task's own
// denies, whether denials are reported or not.
func TestSubdomainsAreNotLogged(t *testing.T) {
	for _, on := range []bool{false, true} {
		for abi := range landlock.ABI(12) {
			c := executor.Confinement{Ruleset: &landlock.Ruleset{}}
			logDenials(&c, abi, on)
			if got := c.LandlockFlags&landlock.LogSubdomainsOff != 0; got != (abi >= 7) {
				t.Errorf("ABI %d, reported %v: %v", abi, on, c.LandlockFlags)
			}
		}
	}
}

// However much a task is denied, there are few events, and the list is bounded.
func TestDenialsAreBounded(t *testing.T) {
	events := 0
	d := newDenials(func(message string, args ...any) { t.Errorf("warning: %s %v", message, args) },
		func(*drivers.TaskConfig, string) { events++ })
	r := watched(t, d, "t", -1, 1000)
	for round := range 40 {
		for i := range 300 {
			r.add([]audit.Denial{{Kind: audit.FS, Rights: []string{"fs.read_file"}, Path: strings.Repeat("x", 100) + strconv.Itoa(round*1000+i), Count: 1}})
		}
		r.reporting.Lock()
		r.told = time.Time{} // a minute has passed
		r.reporting.Unlock()
		r.report()
	}
	r.finish()
	if events > maxDenialEvents {
		t.Errorf("%d events", events)
	}
	lines := listed(t, r)
	info, err := os.Stat(filepath.Join(r.config.AllocDir, "alloc", "logs", "t.denials.ndjson"))
	if err != nil || info.Size() > 1<<20 || !lines[len(lines)-1].Truncated || lines[len(lines)-2].Truncated {
		t.Errorf("%v %v, the last line: %+v", info.Size(), err, lines[len(lines)-1])
	}
}

// The directory can be another driver's task's to write to.
func TestDenialsFileIsOurs(t *testing.T) {
	victim := filepath.Join(t.TempDir(), "victim")
	if err := os.WriteFile(victim, []byte("safe"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, prepare := range map[string]func(logs string) error{
		"symbolic link": func(logs string) error { return os.Symlink(victim, filepath.Join(logs, denialsFile("t"))) },
		"hard link":     func(logs string) error { return os.Link(victim, filepath.Join(logs, denialsFile("t"))) },
		"directory":     func(logs string) error { return os.Mkdir(filepath.Join(logs, denialsFile("t")), 0o755) },
		"linked logs": func(logs string) error {
			return os.Rename(logs, logs+"2") // put back as a link, below
		},
	} {
		dir := t.TempDir()
		logs := filepath.Join(dir, "alloc", "logs")
		if err := os.MkdirAll(logs, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := prepare(logs); err != nil {
			t.Fatal(err)
		}
		if name == "linked logs" {
			if err := os.Symlink(logs+"2", logs); err != nil {
				t.Fatal(err)
			}
		}
		if f, err := openDenials(dir, "t"); err == nil {
			f.Close()
			t.Errorf("%s: it was opened", name)
		}
	}
	if text, _ := os.ReadFile(victim); string(text) != "safe" {
		t.Errorf("written: %q", text)
	}
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "alloc", "logs"), 0o755); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		f, err := openDenials(dir, "t")
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
}
