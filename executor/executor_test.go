// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package executor

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/internal/kerneltest"
	"github.com/burin-labs/nomad-driver-harn/landlock"
	"github.com/burin-labs/nomad-driver-harn/seccomp"
)

func TestMain(m *testing.M) {
	kerneltest.Isolate()
	kerneltest.Main(m)
}

const nobody = 65534

// fixture is a place for a task: a workspace that belongs to nobody, and a
// directory of records.
type fixture struct {
	t         *testing.T
	workspace string
	dir       string
	n         int
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	kerneltest.Root(t)
	kerneltest.Landlock(t, 1)
	return newPlainFixture(t)
}

// newPlainFixture is newFixture for a test that works without Landlock as well.
func newPlainFixture(t *testing.T) *fixture {
	t.Helper()
	kerneltest.Root(t)
	kerneltest.Seccomp(t)
	base, err := os.MkdirTemp("/var/tmp", "harn-executor-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(base) })
	if err := os.Chmod(base, 0o755); err != nil {
		t.Fatal(err)
	}
	f := &fixture{t: t, workspace: base + "/workspace", dir: base + "/state"}
	for _, dir := range []string{f.workspace, f.workspace + "/tmp"} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(dir, nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// plan runs a shell script, confined to the workspace; on a kernel without
// Landlock by its mounts alone.
func (f *fixture) plan(script string) *Plan {
	abi, err := landlock.Detect()
	const read = landlock.Execute | landlock.ReadFile | landlock.ReadDir
	plan := &Plan{
		Isolation: Isolation{PrivateRoot: true, Mounts: []Mount{
			{Type: Bind, Source: f.workspace + "/tmp", Target: "/tmp", Create: true},
			{Type: Symlink, Source: "usr/bin", Target: "/bin", Create: true},
			{Type: Tmpfs, Target: "/dev", Create: true, ReadOnly: true, Devices: true},
			{Type: Symlink, Source: "/proc/self/fd/2", Target: "/dev/stderr", Create: true},
			{Type: Device, Source: "/dev/null", Target: "/dev/null", Create: true},
			{Type: Tmpfs, Target: "/dev/shm", Create: true},
			{Type: Bind, Source: "/etc", Target: "/etc", Create: true, ReadOnly: true},
			{Type: Symlink, Source: "usr/lib", Target: "/lib", Create: true},
			{Type: Symlink, Source: "usr/lib64", Target: "/lib64", Create: true},
			{Type: Proc, Target: "/proc", Create: true},
			{Type: Dir, Target: "/root", Create: true},
			{Type: Bind, Source: "/usr", Target: "/usr", Create: true, ReadOnly: true},
			{Type: Bind, Source: f.workspace, Target: f.workspace, Create: true},
		}},
		Confinement: Confinement{
			User: User{UID: nobody, GID: nobody},
			Ruleset: &landlock.Ruleset{
				HandledFS: abi.Rights().FS,
				Paths: []landlock.PathRule{
					{Path: "/usr", Access: read},
					{Path: "/etc", Access: read},
					{Path: "/proc", Access: landlock.ReadFile | landlock.ReadDir},
					{Path: "/dev/null", Access: landlock.ReadFile | landlock.WriteFile},
					{Path: f.workspace, Access: abi.Rights().FS},
					{Path: "/tmp", Access: abi.Rights().FS},
				},
			},
			Filter: seccomp.Combine(seccomp.Baseline),
		},
		Process: Process{
			Path: "/usr/bin/bash",
			Args: []string{"sh", "-c", script},
			Env:  []string{"PATH=/usr/bin:/bin", "GREETING=hello"},
			Dir:  f.workspace,
		},
	}
	if err != nil {
		plan.Confinement.Ruleset = nil
	}
	return plan
}

// running is a task with a pipe for its output.
type running struct {
	*Task
	out chan string
}

func (f *fixture) start(plan *Plan) (*running, error) {
	f.t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		f.t.Fatal(err)
	}
	f.n++
	task, err := Start("test", fmt.Sprintf("%s/%d", f.dir, f.n), plan, w, w)
	w.Close()
	if err != nil {
		r.Close()
		return nil, err
	}
	f.t.Cleanup(func() { _ = task.Remove() })
	out := make(chan string, 1)
	go func() {
		defer r.Close()
		text, _ := io.ReadAll(r)
		out <- string(text)
	}()
	return &running{task, out}, nil
}

func (f *fixture) mustStart(plan *Plan) *running {
	f.t.Helper()
	task, err := f.start(plan)
	if err != nil {
		f.t.Fatal(err)
	}
	return task
}

// run runs a script to its end and returns its output and exit.
func (f *fixture) run(plan *Plan) (string, Exit) {
	f.t.Helper()
	task := f.mustStart(plan)
	exit, err := task.Exit()
	if err != nil {
		f.t.Fatal(err)
	}
	return <-task.out, exit
}

func TestExitIsRecorded(t *testing.T) {
	f := newFixture(t)
	for script, want := range map[string]Exit{
		"exit 0":                   {Code: 0},
		"exit 7":                   {Code: 7},
		"kill -TERM $$":            {Code: 143, Signal: 15},
		"kill -KILL $$":            {Code: 137, Signal: 9},
		"(sleep 60 &) ; exit 3":    {Code: 3}, // what is left running ends with it
		"trap 'exit 5' EXIT; true": {Code: 5},
	} {
		_, exit := f.run(f.plan(script))
		if exit.Code != want.Code || exit.Signal != want.Signal {
			t.Errorf("%s: %+v, want %+v", script, exit, want)
		}
		if time.Since(exit.At) > time.Minute {
			t.Errorf("%s: ended at %v", script, exit.At)
		}
	}
}

func TestWhatATaskSeesOfItself(t *testing.T) {
	f := newFixture(t)
	t.Setenv("HARN_TEST_SECRET", "of the plugin")
	out, exit := f.run(f.plan(`
		pwd
		id -u; id -g; id -G
		env | grep -v -e ^_ -e ^PWD -e ^SHLVL | sort
		grep -e CapInh -e CapPrm -e CapEff -e CapBnd -e CapAmb -e NoNewPrivs -e Seccomp: /proc/self/status
		ls /proc/self/fd | wc -l
		grep -e SigBlk -e SigIgn /proc/self/status
		umask
		cat /proc/self/oom_score_adj
		ls -d /proc/[0-9]* | wc -l
		echo $$
	`))
	if exit.Code != 0 {
		t.Fatalf("exit %+v:\n%s", exit, out)
	}
	want := f.workspace + `
65534
65534
65534
GREETING=hello
PATH=/usr/bin:/bin
CapInh:	0000000000000000
CapPrm:	0000000000000000
CapEff:	0000000000000000
CapBnd:	0000000000000000
CapAmb:	0000000000000000
NoNewPrivs:	1
Seccomp:	2
4
SigBlk:	0000000000000000
SigIgn:	0000000000000000
0022
0
`
	// ls has the descriptors 0, 1, 2 and the directory that it lists. The
	// processes are the shell, ls and wc: the supervisor, process 1, is hidden.
	if !strings.HasPrefix(out, want) {
		t.Errorf("got\n%s\nwant\n%s", out, want)
	}
	rest := strings.Fields(strings.TrimPrefix(out, want))
	if len(rest) != 2 || rest[0] > "3" || rest[1] == "1" {
		t.Errorf("processes and PID: %q", rest)
	}
}

// A task has the limit of open files that this process was started with, not what
// Go has made of it; a session has, too.
func TestLimitOfOpenFiles(t *testing.T) {
	f := newPlainFixture(t)
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	limit := syscall.Rlimit{Cur: before.Cur - 1, Max: before.Max}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil { // what it starts has it then
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Setrlimit(unix.RLIMIT_NOFILE, &before) })
	const ask = "ulimit -Sn; ulimit -Hn"
	want := fmt.Sprintf("%d\n%d\n", limit.Cur, limit.Max)
	if out, _ := f.run(f.plan(ask)); out != want {
		t.Errorf("a task says %q, want %q", out, want)
	}
	plan := f.plan(ask)
	plan.Confinement.Limits = []Limit{{Resource: unix.RLIMIT_NOFILE, Soft: 50, Hard: 60}}
	if out, _ := f.run(plan); out != "50\n60\n" {
		t.Errorf("with a limit of its own, a task says %q", out)
	}
}

func TestConfinementHolds(t *testing.T) {
	f := newFixture(t)
	out, _ := f.run(f.plan(`
		echo x > file && cat file && rm file && echo workspace
		echo x > /tmp/file && ls ` + f.workspace + `/tmp && echo tmp
		cat /etc/hostname > /dev/null && echo etc
		cat /var/lib/dpkg/status > /dev/null || echo denied var
		ls / || echo denied root
		ls /root || echo denied /root
		[ -e /var/lib ] || echo hidden var
		[ "$(stat -c %a,%t,%T /dev/null)" = 666,1,3 ] && echo device
		echo x > /etc/harn || echo denied etc
		mount -t tmpfs none /mnt || echo denied mount
		echo x > /dev/stderr && echo stderr
	`))
	for _, want := range []string{"x\nworkspace", "file\ntmp", "etc", "denied var", "denied root", "denied /root", "hidden var", "device", "denied etc", "denied mount", "stderr"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	// The sibling: without Landlock and seccomp, the same is admitted.
	plan := f.plan(`cat /var/lib/dpkg/status > /dev/null && ls / > /dev/null && echo admitted`)
	plan.Confinement.Ruleset, plan.Confinement.Filter = nil, nil
	plan.Isolation = Isolation{Mounts: []Mount{{Type: Proc, Target: "/proc"}}}
	if out, _ := f.run(plan); out != "admitted\n" {
		t.Errorf("unconfined: %q", out)
	}
}

func TestStartErrorsSayWhatToDo(t *testing.T) {
	f := newFixture(t)
	if err := os.WriteFile(f.workspace+"/no-interpreter", []byte("#!/nowhere/bash\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(f.workspace+"/no-format", []byte("hello\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(f.workspace+"/no-permission", []byte("#!/bin/sh\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/usr", f.workspace+"/link"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(f.workspace+"/closed", 0o700); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		change func(*Plan)
		want   []string
	}{
		"null byte":          {func(p *Plan) { p.Process.Args = []string{"sh", "a\x00b"} }, []string{`arguments of "/usr/bin/bash"`, "null byte"}},
		"no interpreter":     {func(p *Plan) { p.Process.Path = f.workspace + "/no-interpreter" }, []string{"executing", "/no-interpreter", "interpreter"}},
		"no format":          {func(p *Plan) { p.Process.Path = f.workspace + "/no-format" }, []string{"executing", "/no-format", "#!"}},
		"no permission":      {func(p *Plan) { p.Process.Path = f.workspace + "/no-permission" }, []string{"executing", "permission denied", "user 65534"}},
		"outside":            {func(p *Plan) { p.Process.Path = "/var/lib/dpkg/info/bash.list" }, []string{`executing "/var/lib/dpkg/info/bash.list"`, "not in the task's view"}},
		"no directory":       {func(p *Plan) { p.Process.Dir = f.workspace + "/none" }, []string{"working directory", "/none"}},
		"directory denied":   {func(p *Plan) { p.Process.Dir = f.workspace + "/closed" }, []string{"working directory", "/closed", "user 65534"}},
		"no root":            {func(p *Plan) { p.Confinement.Ruleset.Paths[0].Path = "/none" }, []string{"landlock", "/none", "no such file"}},
		"root is a link":     {func(p *Plan) { p.Confinement.Ruleset.Paths[0].Path = f.workspace + "/link" }, []string{"landlock", "/link", "symbolic link"}},
		"unknown syscall":    {func(p *Plan) { p.Confinement.Filter = seccomp.Deny("fly") }, []string{"seccomp", `"fly"`}},
		"everything allowed": {func(p *Plan) { p.Confinement.Ruleset.Paths[0].Path = "/" }, []string{"opening / still works"}},
		"no mount source":    {func(p *Plan) { p.Isolation.Mounts[0].Source = f.workspace + "/none" }, []string{"mount source", "/none"}},
		"source is a link":   {func(p *Plan) { p.Isolation.Mounts[0].Source = f.workspace + "/link" }, []string{"mount source", "symbolic link"}},
		"no mount target":    {func(p *Plan) { p.Isolation.Mounts[0].Target = "/etc/nowhere"; p.Isolation.Mounts[0].Create = false }, []string{"mounting bind on /etc/nowhere", "make it on the host"}},
		"no cgroup":          {func(p *Plan) { p.Confinement.Cgroups = []string{"/sys/fs/cgroup/none"} }, []string{`cgroup "/sys/fs/cgroup/none"`}},
		"no network":         {func(p *Plan) { p.Isolation.Network.Namespace = "/run/netns/none" }, []string{"network namespace /run/netns/none"}},
		"oom_score_adj":      {func(p *Plan) { p.Confinement.OOMScoreAdj = 2000 }, []string{"oom_score_adj to 2000"}},
	} {
		plan := f.plan("echo started")
		tc.change(plan)
		task, err := f.start(plan)
		if err == nil {
			out, _ := task.Exit()
			t.Errorf("%s: started, %+v", name, out)
			continue
		}
		for _, want := range tc.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q does not say %q", name, err, want)
			}
		}
	}
	if entries, err := os.ReadDir(f.dir); err != nil || len(entries) > 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

func TestSignals(t *testing.T) {
	f := newFixture(t)
	// A child in a session of its own hears a signal to all, not one to the first process.
	script := `
		setsid bash -c 'trap "echo child >> heard; exit" TERM; echo $$ > child; while :; do sleep 0.01; done' &
		trap 'echo main >> heard' USR1
		trap 'echo main >> heard; sleep 0.2; exit 9' TERM
		while [ ! -s child ]; do sleep 0.01; done; touch ready
		while :; do sleep 0.01; done`
	task := f.mustStart(f.plan(script))
	f.waitFor("ready")
	if err := task.Signal(unix.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	f.waitFor("heard")
	if err := task.SignalAll(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	exit, err := task.Exit()
	if err != nil || exit.Code != 9 {
		t.Errorf("%+v, %v, want 9", exit, err)
	}
	heard, _ := os.ReadFile(f.workspace + "/heard")
	if got := strings.Fields(string(heard)); len(got) != 3 || got[0] != "main" || !strings.Contains(string(heard), "child") {
		t.Errorf("heard %q, want main first, then main and child", got)
	}
	if err := task.Signal(unix.SIGTERM); !errors.Is(err, ErrGone) {
		t.Errorf("signaling an ended task: %v, want ErrGone", err)
	}
	if err := task.SignalAll(unix.SIGTERM); !errors.Is(err, ErrGone) {
		t.Errorf("signaling all of an ended task: %v, want ErrGone", err)
	}
}

func (f *fixture) waitFor(name string) {
	f.t.Helper()
	for range 1000 {
		if info, err := os.Stat(filepath.Join(f.workspace, name)); err == nil && (info.Size() > 0 || name == "ready") {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	f.t.Fatalf("%s never appeared", name)
}

// What people send to a supervisor, and what services do, reaches its task.
func TestSignalsToTheSupervisor(t *testing.T) {
	for name, hostPID := range map[string]bool{"own PID namespace": false, "the host's": true} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			sent := []unix.Signal{unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGABRT, unix.SIGTERM, unix.SIGUSR2, unix.Signal(46)}
			script := "touch ready; while :; do sleep 0.01; done"
			for _, sig := range sent {
				script = fmt.Sprintf("trap 'echo heard > heard-%d' %d\n", sig, sig) + script
			}
			plan := f.plan(script)
			plan.Isolation.HostPID = hostPID
			task := f.mustStart(plan)
			f.waitFor("ready")
			for range 3 { // again, and still
				for _, sig := range sent {
					if err := task.supervisor.signal(sig); err != nil {
						t.Fatal(err)
					}
					heard := fmt.Sprintf("heard-%d", sig)
					f.waitFor(heard)
					if err := os.Remove(f.workspace + "/" + heard); err != nil {
						t.Fatal(err)
					}
				}
			}
			if err := task.SignalAll(unix.SIGKILL); err != nil {
				t.Fatal(err)
			}
			if exit, err := task.Exit(); err != nil || exit.Signal != int(unix.SIGKILL) {
				t.Errorf("%+v, %v, want it killed", exit, err)
			}
		})
	}
}

func TestKillReachesWhatIgnoresSignals(t *testing.T) {
	f := newFixture(t)
	task := f.mustStart(f.plan(`
		trap "" TERM INT HUP
		setsid bash -c 'trap "" TERM INT HUP; touch ready; while :; do sleep 60; done' &
		while :; do sleep 60; done`))
	f.waitFor("ready")
	if err := task.SignalAll(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-task.Done():
		t.Fatal("ended by a signal that it ignores")
	case <-time.After(100 * time.Millisecond):
	}
	_ = task.Kill()
	if exit, err := task.Exit(); err != nil || exit.Signal != int(unix.SIGKILL) || exit.Code != 137 {
		t.Errorf("%+v, %v, want SIGKILL", exit, err)
	}
	<-task.out // its end: nobody has the pipe open any more
}

func TestAttach(t *testing.T) {
	f := newFixture(t)
	task := f.mustStart(f.plan("while [ ! -e go ]; do sleep 0.01; done; exit 4"))
	again, err := Attach("test", task.dir, "")
	if err != nil {
		t.Fatal(err)
	}
	if again.PID() != task.PID() || !again.StartedAt().Equal(task.StartedAt()) {
		t.Errorf("attached to %d started %v, want %d, %v", again.PID(), again.StartedAt(), task.PID(), task.StartedAt())
	}
	if err := os.WriteFile(f.workspace+"/go", nil, 0o666); err != nil {
		t.Fatal(err)
	}
	for _, task := range []*Task{task.Task, again} {
		if exit, err := task.Exit(); err != nil || exit.Code != 4 {
			t.Errorf("%+v, %v, want 4", exit, err)
		}
	}
	// After its end, it is found as well.
	ended, err := Attach("test", task.dir, "")
	if err != nil {
		t.Fatal(err)
	}
	if exit, err := ended.Exit(); err != nil || exit.Code != 4 {
		t.Errorf("%+v, %v, want 4", exit, err)
	}
}

func TestAttachToWhatIsLost(t *testing.T) {
	f := newFixture(t)
	task := f.mustStart(f.plan("sleep 60"))
	if err := unix.Kill(task.supervisor.PID, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if _, err := task.Exit(); !errors.Is(err, ErrLost) {
		t.Errorf("%v, want ErrLost", err)
	}
	<-task.out // the kernel killed the task with its supervisor
	lost, err := Attach("test", task.dir, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lost.Exit(); !errors.Is(err, ErrLost) {
		t.Errorf("%v, want ErrLost", err)
	}

	// The PID in the records belongs to another process by now: this one.
	root, err := os.OpenRoot(task.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	me, err := identify(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	me.StartTime--
	if err := writeRecord(root, supervisorRecord, me); err != nil {
		t.Fatal(err)
	}
	if lost, err = Attach("test", task.dir, ""); err != nil {
		t.Fatal(err)
	}
	_ = lost.Kill() // would be the end of the tests, if it took the PID for the task's
	if _, err := lost.Exit(); !errors.Is(err, ErrLost) {
		t.Errorf("%v, want ErrLost", err)
	}

	me.StartTime++
	me.BootID = "00000000-0000-4000-8000-000000000000" // another boot
	if err := writeRecord(root, supervisorRecord, me); err != nil {
		t.Fatal(err)
	}
	if lost, err = Attach("test", task.dir, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := lost.Exit(); !errors.Is(err, ErrRebooted) {
		t.Errorf("%v, want ErrRebooted", err)
	}
	if _, err := Attach("test", task.dir+"-none", ""); !errors.Is(err, ErrNotStarted) {
		t.Errorf("%v, want ErrNotStarted", err)
	}
}

func TestSessions(t *testing.T) {
	f := newFixture(t)
	const namespaces = "for ns in pid mnt ipc net; do readlink /proc/self/ns/$ns; done"
	task := f.mustStart(f.plan(namespaces + " > ns; echo $$ > pid; while :; do sleep 0.01; done"))
	f.waitFor("pid")
	run := func(script string) (string, Exit) {
		t.Helper()
		return inSession(t, task, f.plan(script).Process)
	}
	// The same namespaces, user, confinement: and the task is in reach.
	out, exit := run(`
		[ "$(` + namespaces + `)" = "$(cat ns)" ] && echo same namespaces
		id -u
		grep -e CapEff -e CapBnd -e NoNewPrivs -e Seccomp: /proc/self/status
		cat /var/lib/dpkg/status > /dev/null || echo denied var
		mount -t tmpfs none /mnt || echo denied mount
		kill -0 $(cat pid) && echo signaled
		exit 6`)
	for _, want := range []string{
		"same namespaces\n65534\n", "CapEff:\t0000000000000000", "CapBnd:\t0000000000000000",
		"NoNewPrivs:\t1", "Seccomp:\t2", "denied var", "denied mount", "signaled",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if exit.Code != 6 {
		t.Errorf("%+v, want 6", exit)
	}
	if _, exit = run("kill -9 $$"); exit.Signal != 9 {
		t.Errorf("%+v, want signal 9", exit)
	}

	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	p := f.plan("").Process
	p.Path = "/usr/bin/none"
	if _, err := task.Exec(t.Context(), p, [3]*os.File{null, null, null}, nil); err == nil || !strings.Contains(err.Error(), "/usr/bin/none") {
		t.Errorf("%v, want an error that names the program", err)
	}
	s, err := task.Exec(t.Context(), f.plan("trap '' TERM; sleep 60").Process, [3]*os.File{null, null, null}, nil)
	if err != nil {
		t.Fatal(err)
	}
	s.Kill()
	if exit, err := s.Wait(); err != nil || exit.Signal != 9 {
		t.Errorf("killed session: %+v, %v", exit, err)
	}
	// A task that ends takes its sessions along.
	s, err = task.Exec(t.Context(), f.plan("sleep 60").Process, [3]*os.File{null, null, null}, nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = task.Kill()
	if exit, err := s.Wait(); err != nil || exit.Signal != 9 {
		t.Errorf("session of an ended task: %+v, %v", exit, err)
	}
	if _, err := task.Exec(t.Context(), f.plan("true").Process, [3]*os.File{null, null, null}, nil); !errors.Is(err, ErrGone) {
		t.Errorf("session in an ended task: %v, want ErrGone", err)
	}
}

func TestNetwork(t *testing.T) {
	f := newFixture(t)
	// "lo" is listed by all of them, its address is there only if it is up.
	const script = `grep -c : /proc/net/dev; grep -q '127.0.0.1' /proc/net/fib_trie && echo up || echo down; readlink /proc/self/ns/net`
	run := func(n Network) []string {
		plan := f.plan(script)
		plan.Isolation.Network = n
		out, _ := f.run(plan)
		return strings.Fields(out)
	}
	here, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	if got := run(Network{}); len(got) != 3 || got[1] != "up" || got[2] != here {
		t.Errorf("the host's: %q, want up in %s", got, here)
	}
	if got := run(Network{Isolated: true}); len(got) != 3 || got[1] != "down" || got[2] == here {
		t.Errorf("isolated: %q, want down, not in %s", got, here)
	}
	// The namespace of another process, by its path, as a client gives one.
	other := exec.Command("/bin/sleep", "60")
	other.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = other.Process.Kill()
		_ = other.Wait()
	}()
	path := fmt.Sprintf("/proc/%d/ns/net", other.Process.Pid)
	there, err := os.Readlink(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := run(Network{Namespace: path}); len(got) != 3 || got[2] != there {
		t.Errorf("joined: %q, want %s", got, there)
	}
}

func TestProbe(t *testing.T) {
	abi := kerneltest.Landlock(t, 1)
	kerneltest.Seccomp(t)
	proof, err := Probe()
	if err != nil {
		t.Fatal(err)
	}
	if proof.ABI != abi || proof.Landlock != "" || proof.Seccomp != "" {
		t.Errorf("%+v, want ABI %d", proof, abi)
	}
}
