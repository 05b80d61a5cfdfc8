// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package executor

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// logged starts a plan with log files in a directory, and waits for its end.
func (f *fixture) logged(dir string, plan *Plan) (Exit, error) {
	f.t.Helper()
	logs, err := os.Open(dir)
	if err != nil {
		f.t.Fatal(err)
	}
	f.n++
	task, err := StartLogged("test", fmt.Sprintf("%s/%d", f.dir, f.n), plan, logs)
	logs.Close()
	if err != nil {
		return Exit{}, err
	}
	defer func() { _ = task.Remove() }()
	return task.Exit()
}

// logDir makes a directory of logs as Nomad does.
func (f *fixture) logDir() string {
	f.t.Helper()
	dir, err := os.MkdirTemp(filepath.Dir(f.workspace), "logs-")
	if err != nil {
		f.t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		f.t.Fatal(err)
	}
	return dir
}

func (f *fixture) loggedPlan(script string) *Plan {
	plan := f.plan(script)
	plan.Logs = &Logs{Task: "t", MaxFiles: 3, MaxFileSize: 1 << 20}
	return plan
}

func (f *fixture) wantFile(path, want string) {
	f.t.Helper()
	if got, err := os.ReadFile(path); err != nil || string(got) != want {
		f.t.Errorf("%s: %q, %v, want %q", path, got, err, want)
	}
}

func TestLogsAreWholeWhenTheTaskHasEnded(t *testing.T) {
	f := newFixture(t)
	dir := f.logDir()
	script := `
		echo out; echo err >&2
		echo again > /dev/stderr # by its name
		cat /proc/self/fd/1 2> /dev/null || echo denied
		(trap '' TERM; while :; do sleep 60; done) & # holds the pipes open
		i=0; while [ $i -lt 2000 ]; do echo "line $i"; i=$((i+1)); done
		exit 3`
	exit, err := f.logged(dir, f.loggedPlan(script))
	if err != nil || exit.Code != 3 {
		t.Fatalf("%+v, %v", exit, err)
	}
	var lines strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&lines, "line %d\n", i)
	}
	f.wantFile(dir+"/t.stdout.0", "out\ndenied\n"+lines.String())
	f.wantFile(dir+"/t.stderr.0", "err\nagain\n")

	// The next start of the task goes on there.
	if _, err := f.logged(dir, f.loggedPlan("echo more >&2")); err != nil {
		t.Fatal(err)
	}
	f.wantFile(dir+"/t.stderr.0", "err\nagain\nmore\n")
}

func TestLogsAreRotated(t *testing.T) {
	f := newFixture(t)
	dir := f.logDir()
	plan := f.loggedPlan(`i=0; while [ $i -lt 5000 ]; do echo "line $i"; i=$((i+1)); done`)
	plan.Logs.MaxFileSize = 4000
	if exit, err := f.logged(dir, plan); err != nil || exit.Code != 0 {
		t.Fatalf("%+v, %v", exit, err)
	}
	files, err := filepath.Glob(dir + "/t.stdout.*")
	if err != nil || len(files) != plan.Logs.MaxFiles {
		t.Fatalf("%v, %v: want %d files", files, err, plan.Logs.MaxFiles)
	}
	var all string
	for _, file := range files { // all numbers have two digits
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if n := int64(len(text)); n == 0 || n > plan.Logs.MaxFileSize {
			t.Errorf("%s has %d bytes, at most %d are to be", file, n, plan.Logs.MaxFileSize)
		}
		if !strings.HasPrefix(string(text), "line ") || !strings.HasSuffix(string(text), "\n") {
			t.Errorf("%s: a line is in two files", file)
		}
		all += string(text)
	}
	lines := strings.Split(strings.TrimSpace(all), "\n")
	for i, line := range lines {
		if want := fmt.Sprintf("line %d", 5000-len(lines)+i); line != want {
			t.Fatalf("%q, want %q", line, want)
		}
	}
	// With a lower limit, the next start removes what is too much.
	plan = f.loggedPlan("true")
	plan.Logs.MaxFiles = 1
	if _, err := f.logged(dir, plan); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(dir + "/t.stdout.*"); len(left) != 1 || left[0] != files[len(files)-1] {
		t.Errorf("left %v, want the last of %v", left, files)
	}
}

func TestLinesThatDoNotFitIntoAFile(t *testing.T) {
	f := newFixture(t)
	dir := f.logDir()
	plan := f.loggedPlan(`echo abc; echo 0123456789012345678; echo de`)
	plan.Logs.MaxFileSize, plan.Logs.MaxFiles = 8, 10
	if _, err := f.logged(dir, plan); err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(dir + "/t.stdout.*")
	var all string
	for _, file := range files {
		text, _ := os.ReadFile(file)
		if len(text) > 8 {
			t.Errorf("%s has %d bytes", file, len(text))
		}
		all += string(text)
	}
	if want := "abc\n0123456789012345678\nde\n"; all != want {
		t.Errorf("%q, want %q", all, want)
	}
}

// What another task of the allocation puts in the place of a log must not be
// written to by root.
func TestForeignLogsAreNotWritten(t *testing.T) {
	f := newFixture(t)
	place := map[string]func(dir, victim string) error{
		"a symbolic link": func(dir, victim string) error { return os.Symlink(victim, dir+"/t.stdout.0") },
		"a hard link":     func(dir, victim string) error { return os.Link(victim, dir+"/t.stdout.0") },
		"a directory":     func(dir, _ string) error { return os.Mkdir(dir+"/t.stdout.0", 0o755) },
		"a FIFO":          func(dir, _ string) error { return unix.Mkfifo(dir+"/t.stdout.0", 0o666) },
	}
	for name, place := range place {
		dir := f.logDir()
		victim := f.workspace + "/victim"
		if err := os.WriteFile(victim, []byte("untouched"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := place(dir, victim); err != nil {
			t.Fatal(err)
		}
		exit, err := f.logged(dir, f.loggedPlan("echo attacked"))
		if err == nil {
			t.Errorf("%s: started, %+v", name, exit)
		} else if want := "t.stdout.0: " + errForeign.Error(); !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %q does not say %q", name, err, want)
		}
		f.wantFile(victim, "untouched")
	}
	// The sibling: a file that is none of these is written to.
	dir := f.logDir()
	if err := os.WriteFile(dir+"/t.stdout.0", []byte("before\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := f.logged(dir, f.loggedPlan("echo after")); err != nil {
		t.Fatal(err)
	}
	f.wantFile(dir+"/t.stdout.0", "before\nafter\n")
}

// While a task runs, too.
func TestNextLogPassesOverWhatIsThere(t *testing.T) {
	dir := t.TempDir()
	d, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	victim := dir + "/victim"
	if err := os.WriteFile(victim, []byte("untouched"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := rotated{dir: int(d.Fd()), name: "t.stdout.", maxFiles: 5, maxSize: 8}
	if err := r.openLast(); err != nil {
		t.Fatal(err)
	}
	defer func() { unix.Close(r.file) }()
	r.write([]byte("first\n"))
	if err := os.Symlink(victim, dir+"/t.stdout.1"); err != nil {
		t.Fatal(err)
	}
	r.write([]byte("second\n"))
	for file, want := range map[string]string{"t.stdout.0": "first\n", "t.stdout.2": "second\n", "victim": "untouched"} {
		if got, err := os.ReadFile(filepath.Join(dir, file)); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v, want %q", file, got, err, want)
		}
	}
}

func TestLogsNeedADirectoryThatRootCanWrite(t *testing.T) {
	f := newFixture(t)
	dir := f.logDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(dir, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	_, err := f.logged(dir, f.loggedPlan("true"))
	if err == nil || !strings.Contains(err.Error(), "directory of the task's logs: its owner is 65534 and its mode 0755") {
		t.Errorf("%v", err)
	}
	if err := os.Chown(dir, 0, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := f.logged(dir, f.loggedPlan("true")); err != nil {
		t.Error(err)
	}
}

// A task goes on when its log finds no room.
func TestFullDiskLosesLogsNotTasks(t *testing.T) {
	f := newFixture(t)
	dir := f.logDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=16k,mode=777"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	exit, err := f.logged(dir, f.loggedPlan(`head -c 300000 /etc/../usr/bin/bash; echo done > done; exit 4`))
	if err != nil || exit.Code != 4 {
		t.Fatalf("%+v, %v", exit, err)
	}
	f.wantFile(f.workspace+"/done", "done\n")
	if info, err := os.Stat(dir + "/t.stdout.0"); err != nil || info.Size() == 0 {
		t.Errorf("what there was room for was not kept: %v, %v", info, err)
	}
}

// The end of a pipe may be passed on to a process elsewhere: the task's end is
// not held up by it.
func TestLogsDoNotWaitForOthers(t *testing.T) {
	dir := t.TempDir()
	d, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	c, std, err := openLogs(int(d.Fd()), &Logs{Task: "t", MaxFiles: 1, MaxFileSize: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	c.collect()
	if _, err := std[1].WriteString("held\n"); err != nil {
		t.Fatal(err)
	}
	c.finish() // std is open still
	if got, err := os.ReadFile(dir + "/t.stdout.0"); err != nil || string(got) != "held\n" {
		t.Errorf("%q, %v", got, err)
	}
	std[1].Close()
	std[2].Close()
}

// Whatever is written in whatever pieces: nothing is lost or doubled, and no
// file is too large.
func TestRotatedKeepsAll(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		dir := t.TempDir()
		d, err := os.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		r := rotated{dir: int(d.Fd()), name: "x.", maxFiles: 1 << 20, maxSize: 1 + random.Int64N(50)}
		if err := r.openLast(); err != nil {
			t.Fatal(err)
		}
		var want []byte
		for range random.IntN(20) {
			piece := make([]byte, random.IntN(120))
			for i := range piece {
				piece[i] = "ab\n"[random.IntN(3)]
			}
			want = append(want, piece...)
			r.write(piece)
		}
		var got []byte
		for n := range r.number + 1 {
			text, err := os.ReadFile(dir + "/" + r.fileName(n))
			if err != nil || int64(len(text)) > r.maxSize {
				t.Fatalf("file %d has %d bytes, at most %d are to be, %v", n, len(text), r.maxSize, err)
			}
			got = append(got, text...)
		}
		if string(got) != string(want) {
			t.Fatalf("files of %d bytes: %q, want %q", r.maxSize, got, want)
		}
		unix.Close(r.file)
		d.Close()
	}
}
