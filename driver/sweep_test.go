// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/burin-labs/nomad-driver-harn/cgroup"
	"github.com/burin-labs/nomad-driver-harn/executor"
	"github.com/burin-labs/nomad-driver-harn/internal/kerneltest"
	"github.com/burin-labs/nomad-driver-harn/sandbox"
)

// startTimeOf is field 22 of /proc/PID/stat, for a program whose name has no space.
func startTimeOf(t testing.TB, pid int) (start uint64) {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscan(strings.Fields(string(stat))[21], &start); err != nil {
		t.Fatal(err)
	}
	return start
}

// Whatever somebody with root's permissions puts into the state directory, no
// sweep, start or destruction by it ends a process of the host or another task,
// nor removes a file elsewhere.
func TestForgedRecords(t *testing.T) {
	h := newHarness(t, nil)
	victim := kerneltest.Bystander(t)
	task := h.task(sh("exec sleep 1000"))
	var state TaskState
	if err := h.start(task).GetDriverState(&state); err != nil {
		t.Fatal(err)
	}
	base := filepath.Dir(h.config.StateDir)
	fake := base + "/fake"
	if err := os.MkdirAll(fake+"/cgroup.kill", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(fake+"/cgroup.procs", fmt.Append(nil, victim.Process.Pid), 0o644); err != nil {
		t.Fatal(err)
	}
	identities := []executor.Identity{
		{},
		{PID: 1, StartTime: startTimeOf(t, 1), BootID: executor.BootID()},
		{PID: os.Getpid(), StartTime: startTimeOf(t, os.Getpid()), BootID: executor.BootID()},
		{PID: victim.Process.Pid, StartTime: startTimeOf(t, victim.Process.Pid), BootID: executor.BootID()},
		{PID: -1, StartTime: 1, BootID: executor.BootID()},
		state.Supervisor,
	}
	groups := []string{"", fake, "/", "/proc", "/sys/fs/cgroup", "/sys/fs/cgroup/freezer", state.Cgroup.Own(), filepath.Dir(state.Cgroup.Own()), "fake", state.Cgroup.Own() + "/../" + filepath.Base(state.Cgroup.Own())}
	ids := [][3]string{
		{"x/y/z", "x", "y"},
		{"x/y/z", task.AllocID, task.Name},
		{task.ID, task.AllocID, task.Name},
		{task.AllocID + "/" + task.Name + "/other", task.AllocID, task.Name},
		{"", "", ""},
		{"../../..", "..", ".."},
	}
	made := map[string]string{} // directories by the ID that is in them
	const forgeries = 400
	random := rand.New(rand.NewPCG(1, 2))
	for n := range forgeries {
		id, supervisor, own := ids[random.IntN(len(ids))], identities[random.IntN(len(identities))], groups[random.IntN(len(groups))]
		if random.IntN(2) == 0 {
			id[0] += fmt.Sprint(n)
		}
		dir := recordsDir(h.config.StateDir, id[1], id[2], id[0])
		if random.IntN(4) == 0 {
			dir = filepath.Join(h.config.StateDir, fmt.Sprintf("evil%d", n))
		}
		if dir == state.StateDir {
			continue
		}
		paths := map[string]string{"": own}
		if random.IntN(2) == 0 {
			paths = map[string]string{"cpuset": state.Cgroup.Paths["cpuset"], "freezer": own, "pids": own}
		}
		if own == "" {
			paths = nil
		}
		made[dir] = id[0]
		o := owner{ID: id[0], AllocID: id[1], Task: id[2], AllocDir: base + "/" + id[1], State: TaskState{
			StateDir: state.StateDir, Supervisor: supervisor, Cgroup: cgroup.Group{Paths: paths, Made: []string{fake, own}[:random.IntN(3)]},
		}}
		confinement := executor.Confinement{OwnCgroup: own}
		if own != "" {
			confinement.Cgroups = []string{own}
		}
		for name, v := range map[string]any{"owner": o, "supervisor": supervisor, "confinement": confinement} {
			text, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.MkdirAll(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	check := func(after string) {
		t.Helper()
		if !kerneltest.Lives(victim) {
			t.Fatalf("%s: a process of the host was killed", after)
		}
		if known, ok := h.driver.tasks.get(task.ID); !ok || !known.running() {
			t.Fatalf("%s: a task was killed", after)
		}
		if _, err := os.Stat(fake + "/cgroup.procs"); err != nil {
			t.Fatalf("%s: a file elsewhere was removed: %v", after, err)
		}
	}
	var s sweep
	for range 3 {
		h.driver.sweep(&s)
		check("a sweep")
	}
	for _, id := range made {
		if id != task.ID {
			_ = h.driver.DestroyTask(id, true)
		}
	}
	check("destroying them")
	other := h.task(sh("exit 4"))
	h.start(other)
	if got := h.wait(other.ID); got.ExitCode != 4 {
		t.Errorf("a task among forged records: %+v", got)
	}
	check("a start")
	// The control: the sweep does remove what is forgotten, among all that.
	forgotten := h.task(sh("exec sleep 1000"))
	var left TaskState
	if err := h.start(forgotten).GetDriverState(&left); err != nil {
		t.Fatal(err)
	}
	h.driver.tasks.delete(forgotten.ID)
	if err := os.RemoveAll(forgotten.AllocDir); err != nil {
		t.Log(err) // its mounts stay
	}
	o := newOwner(forgotten, left)
	o.AllocDir = filepath.Join(base, forgotten.AllocID)
	if err := executor.Reserve(left.StateDir, o); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		h.driver.sweep(&s)
	}
	h.wantNothingLeft(&left)
	check("a sweep with something to do")
}

// A handle that was changed is not of its task.
func TestForgedHandles(t *testing.T) {
	h := newHarness(t, nil)
	cfg := h.task(sh("exec sleep 1000"))
	victim := h.task(sh("exec sleep 1000"))
	handle := recovered(t, h.start(cfg))
	var state, others TaskState
	if err := handle.GetDriverState(&state); err != nil {
		t.Fatal(err)
	}
	if err := h.start(victim).GetDriverState(&others); err != nil {
		t.Fatal(err)
	}
	before := h.driver
	h.connect()
	for name, change := range map[string]func(*TaskState){
		"another's records": func(s *TaskState) { s.StateDir = others.StateDir },
		"records elsewhere": func(s *TaskState) { s.StateDir = "/tmp/x" },
		"a relative path":   func(s *TaskState) { s.StateDir = filepath.Base(s.StateDir) },
		"another's cgroup":  func(s *TaskState) { s.Cgroup = others.Cgroup },
		"no cgroup":         func(s *TaskState) { s.Cgroup = cgroup.Group{} },
		"a directory":       func(s *TaskState) { s.Cgroup.Made = append(slices.Clone(s.Cgroup.Made), "/var/tmp") },
	} {
		forged := state
		change(&forged)
		changed := *handle
		if err := changed.SetDriverState(&forged); err != nil {
			t.Fatal(err)
		}
		if err := h.driver.RecoverTask(&changed); err == nil {
			t.Errorf("%s: recovered", name)
		}
		for _, id := range []string{cfg.ID, victim.ID} {
			if known, _ := before.tasks.get(id); !known.running() {
				t.Fatalf("%s: task %s was killed", name, id)
			}
		}
	}
	if err := h.driver.RecoverTask(handle); err != nil {
		t.Errorf("the control: %v", err)
	}
}

// A state directory that others can change is a reason to run no task, and to say so.
func TestStateDirOfOthers(t *testing.T) {
	kerneltest.Root(t)
	for name, tc := range map[string]struct {
		change func(dir string) error
		want   string
	}{
		"as it is":              {func(string) error { return nil }, ""},
		"absent":                {os.Remove, ""},
		"another's":             {func(dir string) error { return os.Chown(dir, 1, 0) }, "user 1"},
		"of a group":            {func(dir string) error { return os.Chmod(dir, 0o770) }, "0770"},
		"of all":                {func(dir string) error { return os.Chmod(dir, 0o707) }, "0707"},
		"in a directory of all": {func(dir string) error { return os.Chmod(filepath.Dir(dir), 0o777) }, "0777"},
		"in a sticky one":       {func(dir string) error { return os.Chmod(filepath.Dir(dir), 0o777|os.ModeSticky) }, ""},
		"a link": {func(dir string) error {
			if err := os.Rename(dir, dir+"2"); err != nil {
				return err
			}
			return os.Symlink(dir+"2", dir)
		}, "symbolic link"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t, nil)
			if err := os.MkdirAll(h.config.StateDir, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := tc.change(h.config.StateDir); err != nil {
				t.Fatal(err)
			}
			fingerprint := h.driver.takeFingerprint()
			cfg := h.task(sh("exit 0"))
			_, _, err := h.StartTask(cfg)
			if err == nil {
				h.wait(cfg.ID)
				_ = h.DestroyTask(cfg.ID, true)
			}
			if tc.want == "" {
				if err != nil || fingerprint.Health != "healthy" {
					t.Errorf("%v, %s: %s", err, fingerprint.Health, fingerprint.HealthDescription)
				}
				return
			}
			wantError(t, name, err, "state_dir", h.config.StateDir[:len(filepath.Dir(h.config.StateDir))], tc.want)
			if fingerprint.Health != "unhealthy" || !strings.Contains(fingerprint.HealthDescription, tc.want) {
				t.Errorf("%s: %s, want unhealthy with %q", fingerprint.Health, fingerprint.HealthDescription, tc.want)
			}
			if name == "another's" { // that others could write to is no reason to remove anything
				forged := filepath.Join(h.config.StateDir, "x.removed")
				if err := os.Mkdir(forged, 0o700); err != nil {
					t.Fatal(err)
				}
				var s sweep
				h.driver.sweep(&s)
				if _, err := os.Stat(forged); err != nil {
					t.Errorf("swept: %v", err)
				}
			}
		})
	}
	for _, dir := range []string{"/", "//", "state", "", "/x\x00"} {
		c := sandbox.Settings{StateDir: dir}
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "state_dir") {
			t.Errorf("state_dir %q: %v", dir, err)
		}
	}
}
