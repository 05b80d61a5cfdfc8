// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package denials

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
	"unicode"
	"unicode/utf8"

	"github.com/burin-labs/nomad-driver-harn/audit"
	"github.com/burin-labs/nomad-driver-harn/cgroup"
	"github.com/burin-labs/nomad-driver-harn/executor"
	"github.com/burin-labs/nomad-driver-harn/internal/kerneltest"
	"github.com/burin-labs/nomad-driver-harn/landlock"
	"github.com/burin-labs/nomad-driver-harn/seccomp"
)

func TestMain(m *testing.M) {
	kerneltest.Isolate()
	os.Exit(m.Run())
}

// newWatcher makes a watcher for which every warning is an error.
func newWatcher(t *testing.T) *Watcher {
	return New(func(message string, args ...any) { t.Errorf("warning: %s %v", message, args) })
}

// watched adds a task to those of a watcher, as Follow does for one that runs.
func watched(t *testing.T, w *Watcher, task Task) *report {
	t.Helper()
	task.ID, task.AllocID, task.AllocDir, task.Dir = task.Name, "0123456789", t.TempDir(), "/task"
	if task.Emit == nil {
		task.Emit = func(string) {}
	}
	if err := os.MkdirAll(filepath.Join(task.AllocDir, "alloc", "logs"), 0o755); err != nil {
		t.Fatal(err)
	}
	r := &report{Task: &task, warn: w.warn}
	w.tasks[task.ID] = r
	return r
}

func listed(t *testing.T, r *report) []audit.Line {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(r.AllocDir, "alloc", "logs", r.Name+".denials.ndjson"))
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
	emit := func(name string) func(string) {
		return func(message string) { events[name] = append(events[name], message) }
	}
	d := newWatcher(t)
	d.table(nil)
	// Process and user are of the records.
	mine := watched(t, d, Task{Name: "mine", PID: 184, UID: 65534, Emit: emit("mine")})
	other := watched(t, d, Task{Name: "other", PID: 999999, UID: 1001, Emit: emit("other")})

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

// table has a watcher find out processes as a host has had them: "/cgroup" is one
// in that cgroup; those that are not listed have ended.
func (w *Watcher) table(processes map[int]string) {
	w.look = func(pid int) process {
		cgroup, alive := processes[pid]
		return process{pid: pid, alive: alive, cgroups: []string{"/", cgroup}, pidNamespace: "pid:[1]"}
	}
}

func TestWhoseADenialIs(t *testing.T) {
	d := newWatcher(t)
	const dynamicUID = 80_001
	mine := watched(t, d, Task{Name: "mine", PID: 100, UID: dynamicUID, Dynamic: true, Supervisor: 99, Cgroup: "/sys/fs/cgroup/nomad.slice/share.slice/a.mine.scope"})
	named := watched(t, d, Task{Name: "named", PID: 200, UID: 1000, Supervisor: 199, Cgroup: "/sys/fs/cgroup/freezer/nomad/b.named"})
	d.table(map[int]string{
		1: "/init.scope", 99: "/system.slice/nomad.service", 199: "/system.slice/nomad.service",
		100: "/nomad.slice/share.slice/a.mine.scope", 101: "/nomad.slice/share.slice/a.mine.scope",
		102: "/nomad.slice/share.slice/a.mine.scope/within", 200: "/nomad/b.named",
		300: "/user.slice/session-1.scope", 301: "/user.slice/b.named.scope", 302: "/user.slice/nomad/b.nam",
	})
	const gone = 555
	for name, tc := range map[string]struct {
		event audit.Event
		want  *report
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
	named.Cgroup = ""
	for pid, want := range map[int]*report{200: named, 300: nil} {
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
	watched(t, d, Task{Name: "two", PID: 400, UID: dynamicUID, Dynamic: true})
	if got := d.whose(d.sight(&audit.Event{PID: gone, Parent: -1, UID: dynamicUID})); got != nil {
		t.Errorf("a user of two tasks: %+v", got)
	}
}

// sleeper starts a process of a user, and ends it with the test.
func sleeper(t *testing.T, attributes syscall.SysProcAttr, uid uint32, cgroups ...string) int {
	t.Helper()
	attributes.Credential = &syscall.Credential{Uid: uid, Gid: uid}
	cmd := exec.Command("sleep", "60")
	cmd.SysProcAttr = &attributes
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	for _, dir := range cgroups {
		if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(cmd.Process.Pid)), 0); err != nil {
			t.Fatal(err)
		}
	}
	return cmd.Process.Pid
}

// testCgroup makes a cgroup, by which processes are found.
func testCgroup(t *testing.T) string {
	t.Helper()
	hierarchy := "/sys/fs/cgroup"
	if cgroup.Version() == 1 {
		hierarchy += "/freezer"
	}
	dir, err := os.MkdirTemp(hierarchy, "harn-denials-")
	if err != nil {
		kerneltest.Missing(t, "no cgroup can be made: %v", err)
	}
	t.Cleanup(func() {
		for range 100 {
			if os.Remove(dir) == nil {
				return
			}
			time.Sleep(10 * time.Millisecond) // what is killed leaves it a little later
		}
		t.Errorf("%s is left", dir)
	})
	return dir
}

// Real processes: the task's own, and one of the host that has its user.
func TestHostProcessOfTheTasksUser(t *testing.T) {
	kerneltest.Root(t)
	const uid = 65534
	dir := testCgroup(t)
	namespace := syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID}
	first, second := sleeper(t, namespace, uid, dir), sleeper(t, syscall.SysProcAttr{}, uid, dir)
	host := sleeper(t, syscall.SysProcAttr{}, uid)
	done := make(chan struct{})
	d := newWatcher(t)
	reported := d.Follow(&Task{ID: "t", Name: "t", PID: first, UID: uid, Cgroup: dir, Done: done, Emit: func(string) {}}, d.warn)
	for _, pid := range []int{first, second} {
		if got := d.whose(d.sight(&audit.Event{PID: pid, Parent: 1, UID: uid})); got == nil || got.ID != "t" {
			t.Errorf("process %d of the task: %+v", pid, got)
		}
	}
	if got := d.whose(d.sight(&audit.Event{PID: host, Parent: os.Getpid(), UID: uid})); got != nil {
		t.Errorf("the host's process: %+v", got)
	}
	close(done)
	<-reported
	// Without a cgroup, the PID namespace tells.
	done = make(chan struct{})
	reported = d.Follow(&Task{ID: "t", Name: "t", PID: first, UID: uid, Done: done, Emit: func(string) {}}, d.warn)
	if got := d.whose(d.sight(&audit.Event{PID: first, Parent: 1, UID: uid})); got == nil || got.ID != "t" {
		t.Errorf("by PID namespace: %+v", got)
	}
	if got := d.whose(d.sight(&audit.Event{PID: host, Parent: 1, UID: uid})); got != nil {
		t.Errorf("the host's process, by PID namespace: %+v", got)
	}
	close(done)
	<-reported
}

// A task has the kernel name paths that it makes up, and calls that a filter of its
// own denies. Neither is reported.
func TestDenialsAreCredible(t *testing.T) {
	isolation := &executor.Isolation{PrivateRoot: true, Mounts: []executor.Mount{
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
	p := PlacesOf(isolation)
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
	if PlacesOf(&executor.Isolation{}) != nil {
		t.Error("the host's view")
	}
	r := &report{Task: &Task{Places: p, Filter: seccomp.Deny("mount", "socket")}}
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
			Log(&c, abi, on)
			if got := c.LandlockFlags&landlock.LogSubdomainsOff != 0; got != (abi >= 7) {
				t.Errorf("ABI %d, reported %v: %v", abi, on, c.LandlockFlags)
			}
		}
	}
}

// However much a task is denied, there are few events, and the list is bounded.
func TestDenialsAreBounded(t *testing.T) {
	events := 0
	r := watched(t, newWatcher(t), Task{Name: "t", PID: -1, UID: 1000, Emit: func(string) { events++ }})
	for round := range 40 {
		for i := range 300 {
			r.add([]audit.Denial{{Kind: audit.FS, Rights: []string{"fs.read_file"}, Path: strings.Repeat("x", 100) + strconv.Itoa(round*1000+i), Count: 1}})
		}
		r.reporting.Lock()
		r.lastEvent = time.Time{} // a minute has passed
		r.reporting.Unlock()
		r.update()
	}
	r.finish()
	if events > maxEvents {
		t.Errorf("%d events", events)
	}
	lines := listed(t, r)
	info, err := os.Stat(filepath.Join(r.AllocDir, "alloc", "logs", "t.denials.ndjson"))
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
		"symbolic link": func(logs string) error { return os.Symlink(victim, filepath.Join(logs, FileName("t"))) },
		"hard link":     func(logs string) error { return os.Link(victim, filepath.Join(logs, FileName("t"))) },
		"directory":     func(logs string) error { return os.Mkdir(filepath.Join(logs, FileName("t")), 0o755) },
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
		if f, err := OpenFile(dir, FileName("t")); err == nil {
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
		f, err := OpenFile(dir, FileName("t"))
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
}

// A list of denials is text that can be shown, and still says what there was.
func TestListOfDenialsIsPlain(t *testing.T) {
	r := watched(t, newWatcher(t), Task{Name: "t", PID: -1, UID: 1000, Emit: func(message string) { oneLine(t, "the event", message) }})
	path := "/tmp/\u202ex\u009b\x7f\n\x1b[0m"
	r.add([]audit.Denial{{Kind: audit.FS, Rights: []string{"fs.read_file"}, Path: path, Command: "a\nb\u2028", Count: 1}})
	r.finish()
	text, err := os.ReadFile(filepath.Join(r.AllocDir, "alloc", "logs", "t.denials.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	oneLine(t, "the list", strings.TrimSuffix(string(text), "\n"))
	if lines := listed(t, r); len(lines) != 1 || lines[0].Path != path || lines[0].Command != "a\nb\u2028" {
		t.Errorf("%+v", lines)
	}
}

// oneLine fails if a message is more than one line of text that does nothing to a
// terminal, or floods it.
func oneLine(t *testing.T, what, message string) {
	t.Helper()
	if !utf8.ValidString(message) || strings.ContainsFunc(message, func(r rune) bool { return r != ' ' && unicode.In(r, unicode.C, unicode.Z) }) {
		t.Errorf("%s: %q", what, message)
	}
	if len(message) > 4<<10 {
		t.Errorf("%s has %d bytes: %.200q", what, len(message), message)
	}
}
