// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package executor

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/internal/kerneltest"
)

// place is a directory in which nobody else can write, with a directory of records
// in it.
func place(t *testing.T) (above, dir string) {
	t.Helper()
	kerneltest.Root(t)
	above = t.TempDir()
	dir = above + "/state"
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return above, dir
}

const wellFormed = `{"code":3,"signal":0,"oom_killed":false,"at":"2026-11-24T00:00:00Z"}`

// A record is believed if root alone can have written it: each thing by which
// others could have is refused, alone, beside the record that is read.
func TestRecordsThatOthersCanHaveWritten(t *testing.T) {
	must := func(t *testing.T, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, tc := range map[string]struct {
		change func(t *testing.T, above, dir, file string)
		want   string // "" for the controls
	}{
		"as it is written":   {func(*testing.T, string, string, string) {}, ""},
		"a sticky directory": {func(t *testing.T, above, _, _ string) { must(t, os.Chmod(above, 0o777|os.ModeSticky)) }, ""},
		"readable directories": {func(t *testing.T, above, dir, _ string) {
			must(t, os.Chmod(above, 0o755))
			must(t, os.Chmod(dir, 0o755))
		}, ""},
		"a link of root's above": {func(t *testing.T, above, dir, _ string) {
			must(t, os.Rename(dir, above+"/real"))
			must(t, os.Mkdir(dir, 0o700))
			must(t, os.Rename(above+"/real", dir+"/real"))
			must(t, os.Symlink(dir+"/real", above+"/way"))
		}, "not recorded"},

		"file: its owner":          {func(t *testing.T, _, _, file string) { must(t, os.Chown(file, nobody, 0)) }, "owner 65534"},
		"file: written by a group": {func(t *testing.T, _, _, file string) { must(t, os.Chmod(file, 0o620)) }, "mode 0100620"},
		"file: written by all":     {func(t *testing.T, _, _, file string) { must(t, os.Chmod(file, 0o602)) }, "mode 0100602"},
		"file: setuid":             {func(t *testing.T, _, _, file string) { must(t, unix.Chmod(file, 0o4600)) }, "mode 0104600"},
		"file: a second name":      {func(t *testing.T, above, _, file string) { must(t, os.Link(file, above+"/other")) }, "2 links"},
		"file: a link": {func(t *testing.T, above, _, file string) {
			must(t, os.Rename(file, above+"/other"))
			must(t, os.Symlink(above+"/other", file))
		}, "symbolic link"},
		"file: a FIFO": {func(t *testing.T, _, _, file string) {
			must(t, os.Remove(file))
			must(t, unix.Mkfifo(file, 0o600))
		}, "regular file"},
		"file: a directory": {func(t *testing.T, _, _, file string) {
			must(t, os.Remove(file))
			must(t, os.Mkdir(file, 0o600))
		}, "regular file"},
		"file: too large":             {func(t *testing.T, _, _, file string) { must(t, os.Truncate(file, maxRecord+1)) }, "more than"},
		"directory: its owner":        {func(t *testing.T, _, dir, _ string) { must(t, os.Chown(dir, nobody, 0)) }, "user 65534"},
		"directory: written by all":   {func(t *testing.T, _, dir, _ string) { must(t, os.Chmod(dir, 0o777)) }, "mode 0777"},
		"directory: sticky":           {func(t *testing.T, _, dir, _ string) { must(t, os.Chmod(dir, 0o777|os.ModeSticky)) }, "mode 01777"},
		"directory: written by group": {func(t *testing.T, _, dir, _ string) { must(t, os.Chmod(dir, 0o770)) }, "mode 0770"},
		"above: its owner":            {func(t *testing.T, above, _, _ string) { must(t, os.Chown(above, nobody, 0)) }, "user 65534"},
		"above: written by all":       {func(t *testing.T, above, _, _ string) { must(t, os.Chmod(above, 0o777)) }, "mode 0777"},
		"above: written by a group":   {func(t *testing.T, above, _, _ string) { must(t, os.Chmod(above, 0o770)) }, "mode 0770"},
		"directory: a link of root's": {func(t *testing.T, above, dir, _ string) {
			must(t, os.Rename(dir, above+"/other"))
			must(t, os.Symlink("other", dir))
		}, "symbolic link"},
		"directory: a file": {func(t *testing.T, _, dir, _ string) {
			must(t, os.RemoveAll(dir))
			must(t, os.WriteFile(dir, nil, 0o600))
		}, "not a directory"},
	} {
		t.Run(name, func(t *testing.T) {
			above, dir := place(t)
			file := filepath.Join(dir, exitRecord)
			must(t, os.WriteFile(file, []byte(wellFormed), 0o600))
			tc.change(t, above, dir, file)
			var e Exit
			err := readRecord(dir, exitRecord, &e)
			if tc.want == "" && (err != nil || e.Code != 3) {
				t.Errorf("%+v, %v, expected the record", e, err)
			}
			if tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("%+v, %v, expected an error with %q", e, err, tc.want)
			}
			// What CheckStateDir says is about directories alone.
			wantRefused := tc.want != "" && tc.want != "not recorded" && !strings.HasPrefix(name, "file:")
			if err := CheckStateDir(dir); (err != nil) != wantRefused {
				t.Errorf("CheckStateDir: %v, expected an error: %v", err, wantRefused)
			}
		})
	}
}

// A link above leads on if it is root's: whoever owns one can lead it elsewhere.
func TestLinksAboveRecords(t *testing.T) {
	above, dir := place(t)
	if err := os.WriteFile(filepath.Join(dir, exitRecord), []byte(wellFormed), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, target := range []string{above, "./../" + filepath.Base(above)} {
		link := above + "/way"
		_ = os.Remove(link)
		if err := os.Symlink(target, link); err != nil {
			t.Fatal(err)
		}
		var e Exit
		if err := readRecord(link+"/state", exitRecord, &e); err != nil || e.Code != 3 {
			t.Errorf("link to %s: %+v, %v", target, e, err)
		}
		if err := os.Lchown(link, nobody, nobody); err != nil {
			t.Fatal(err)
		}
		if err := readRecord(link+"/state", exitRecord, &e); err == nil || !strings.Contains(err.Error(), "link of user 65534") {
			t.Errorf("another's link to %s: %v", target, err)
		}
	}
	if err := os.Symlink("loop", above+"/loop"); err != nil {
		t.Fatal(err)
	}
	if err := CheckStateDir(above + "/loop/state"); !errors.Is(err, unix.ELOOP) {
		t.Errorf("a loop: %v", err)
	}
	if err := CheckStateDir(above + "/none/state"); err != nil {
		t.Errorf("a directory that is still to be made: %v", err)
	}
}

// Records of root's own making, in every respect, still lead to no process but a
// supervisor of that task.
func TestForgedRecordsKillNobody(t *testing.T) {
	f := newPlainFixture(t)
	v := kerneltest.Bystander(t)
	id, err := identify(v.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	other := f.mustStart(f.plan("exec sleep 1000")) // of another task, "test"
	defer func() { _ = other.Remove() }()
	fake := f.dir + "/fake" // a directory with the files of a cgroup
	if err := os.MkdirAll(fake+"/cgroup.kill", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(fake+"/cgroup.procs", fmt.Appendf(nil, "%d\n", v.Process.Pid), 0o644); err != nil {
		t.Fatal(err)
	}
	forge := func(supervisor Identity, own string) string {
		t.Helper()
		dir, err := os.MkdirTemp(f.dir, "forged")
		if err != nil {
			t.Fatal(err)
		}
		confinement := Confinement{User: User{UID: nobody, GID: nobody}}
		if own != "" {
			confinement.Cgroups, confinement.OwnCgroup = []string{own}, own
		}
		for name, v := range map[string]any{
			supervisorRecord:  supervisor,
			startedRecord:     started{Process: id, At: time.Now()},
			confinementRecord: confinement,
		} {
			text, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return dir
	}
	gone := Identity{PID: 2, StartTime: 1, BootID: id.BootID}
	for name, tc := range map[string]struct {
		supervisor Identity
		own        string
		want       string
	}{
		"a process of the host":              {id, "", "expected the supervisor"},
		"the supervisor of another task":     {other.Supervisor(), "", "expected the supervisor"},
		"this process":                       {must(identify(os.Getpid())), "", "expected the supervisor"},
		"process 1":                          {must(identify(1)), "", "expected 2 to"},
		"a directory that is no cgroup":      {gone, fake, "not in a cgroup file system"},
		"the root of a cgroup file system":   {gone, rootCgroup(t), "the root of a cgroup file system"},
		"a cgroup with this process in it":   {gone, ownCgroup(t), "this one or an ancestor"},
		"a path that is not in a plain form": {gone, "/sys/fs/cgroup/../cgroup", "not an absolute path"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := forge(tc.supervisor, tc.own)
			err := Clear("forged", dir, tc.own)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Clear: %v, expected an error with %q", err, tc.want)
			}
			if task, err := Attach("forged", dir, tc.own); err == nil {
				_ = task.Signal(unix.SIGKILL)
				_ = task.SignalAll(unix.SIGKILL)
				_ = task.Kill()
				_ = task.Clear()
			}
			AwaitStart("forged", dir)
			if tc.own != "" {
				if err := Clear("forged", dir, ""); err == nil {
					t.Error("a cgroup that the caller does not know: no error")
				}
			}
			if !kerneltest.Lives(v) {
				t.Fatal("a record has killed a process of the host")
			}
			if err := other.Signal(unix.Signal(0)); err != nil {
				t.Fatalf("a record has killed another task: %v", err)
			}
		})
	}
	// The control: with its own records, a task is killed by the same call.
	if err := Clear("test", other.dir, ""); err != nil {
		t.Error(err)
	}
	<-other.Done()
}

func must(id Identity, err error) Identity {
	if err != nil {
		panic(err)
	}
	return id
}

// cgroupRoots are the cgroup file systems that are mounted here.
func cgroupRoots(t testing.TB) []string {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	var roots []string
	for line := range strings.Lines(string(mounts)) {
		if fields := strings.Fields(line); len(fields) > 2 && (fields[2] == "cgroup" || fields[2] == "cgroup2") && exists(fields[1]+"/cgroup.procs") {
			roots = append(roots, fields[1])
		}
	}
	if len(roots) == 0 {
		kerneltest.Missing(t, "no cgroup file system is mounted here")
	}
	return roots
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func rootCgroup(t testing.TB) string { return cgroupRoots(t)[0] }

// ownCgroup makes a cgroup, and moves this process into it until the test ends.
func ownCgroup(t testing.TB) string {
	t.Helper()
	for _, root := range cgroupRoots(t) {
		if !strings.Contains(root, "pids") && !strings.Contains(root, "freezer") && root != "/sys/fs/cgroup" {
			continue
		}
		dir := filepath.Join(root, fmt.Sprintf("harn-records-%d", os.Getpid()))
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = os.WriteFile(root+"/cgroup.procs", fmt.Append(nil, os.Getpid()), 0)
			for range 100 {
				if os.Remove(dir) == nil {
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
		})
		if err := os.WriteFile(dir+"/cgroup.procs", fmt.Append(nil, os.Getpid()), 0); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	kerneltest.Missing(t, "no hierarchy of pids or freezer, nor cgroups v2")
	return ""
}

// The control for what killCgroup refuses: it kills what is in a cgroup.
func TestKillCgroup(t *testing.T) {
	kerneltest.Root(t)
	dir := ownCgroup(t)
	v := exec.Command("sleep", "1000") // born in this process's cgroup
	if err := v.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { _ = v.Wait(); close(done) }()
	if err := killCgroup(dir); err == nil || !strings.Contains(err.Error(), "this one") {
		t.Errorf("with this process in it: %v", err)
	}
	if err := os.WriteFile(filepath.Dir(dir)+"/cgroup.procs", fmt.Append(nil, os.Getpid()), 0); err != nil {
		t.Fatal(err)
	}
	select {
	case <-done:
		t.Fatal("killed with this process")
	default:
	}
	if err := killCgroup(dir); err != nil {
		t.Error(err)
	}
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		t.Error("the process in the cgroup lives")
		_ = v.Process.Kill()
	}
	if err := killCgroup(dir + "-none"); err != nil {
		t.Errorf("no such cgroup: %v", err)
	}
}

// Random records, well-formed or not, never have a process killed: whoever
// wrote them.
func FuzzRecord(f *testing.F) {
	if os.Geteuid() != 0 {
		f.Skip("records are root's")
	}
	v := kerneltest.Bystander(f)
	me, err := identify(v.Process.Pid)
	if err != nil {
		f.Fatal(err)
	}
	text, err := json.Marshal(me)
	if err != nil {
		f.Fatal(err)
	}
	confined := `{"user":{"uid":0,"gid":0,"groups":null},"cgroups":["/tmp"],"own_cgroup":"/tmp","oom_score_adj":0}`
	begun := fmt.Sprintf(`{"process":%s,"at":"2026-11-24T00:00:00Z"}`, text)
	f.Add(string(text), begun, confined, "x", "/tmp", uint16(0))
	f.Add(string(text), begun, strings.ReplaceAll(confined, "/tmp", ""), "", "", uint16(1))
	f.Add(`{"pid":-1,"start_time":0,"boot_id":""}`, `{"process":{"pid":-1}}`, `{"own_cgroup":".."}`, "a/b/c", "/sys/fs/cgroup", uint16(2))
	f.Add(`{"pid":0}{"pid":1}`, "null", "[]", "a/b/c", "/proc", uint16(3))
	f.Fuzz(func(t *testing.T, supervisor, begun, confined, id, cgroup string, seed uint16) {
		dir := t.TempDir()
		random := rand.New(rand.NewPCG(uint64(seed), 0))
		for name, content := range map[string]string{supervisorRecord: supervisor, startedRecord: begun, confinementRecord: confined} {
			mode := []os.FileMode{0o600, 0o600, 0o644, 0o666}[random.IntN(4)]
			if err := os.WriteFile(filepath.Join(dir, name), []byte(content), mode); err != nil {
				t.Fatal(err)
			}
		}
		AwaitStart(id, dir)
		if task, err := Attach(id, dir, cgroup); err == nil {
			_ = task.Signal(unix.SIGKILL)
			_ = task.SignalAll(unix.SIGKILL)
			_ = task.Kill()
			_ = task.Clear()
		}
		_ = Clear(id, dir, cgroup)
		if !kerneltest.Lives(v) {
			t.Fatal("a record has killed a process")
		}
	})
}
