// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/burin-labs/nomad-driver-harn/executor"
	"github.com/burin-labs/nomad-driver-harn/landlock"
	"github.com/burin-labs/nomad-driver-harn/policy"
	"github.com/burin-labs/nomad-driver-harn/seccomp"
)

// testLayout is the layout of a task on a host with few things.
func testLayout(dirs *Dirs) *layout {
	places := protectedPlaces(&Settings{MaskedPaths: []string{"/etc/passwd", "/srv/secret"}}, dirs, nil)
	return &layout{
		dirs:   dirs,
		policy: policy.Base{System: []string{"/usr", "/etc"}, Network: []string{"/run/resolv.conf"}},

		overlayWorks: func(string) error { return errors.New("not here") },

		places: slices.DeleteFunc(places, func(p place) bool { return slices.Contains(builtinMasks, p.path) }),
	}
}

// testDirs are directories of a task, beside those of another one.
func testDirs(t *testing.T) *Dirs {
	t.Helper()
	base, err := os.MkdirTemp("/var/tmp", "harn-view-") // not in /tmp, of which a task has a private one
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(base) })
	for _, dir := range []string{"alloc/b/t", "mounts/a-t/alloc/logs", "mounts/a-t/local", "mounts/b-t"} {
		if err := os.MkdirAll(filepath.Join(base, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return &Dirs{Task: base + "/mounts/a-t", Clients: base + "/alloc", Mounts: base + "/mounts"}
}

var confined = &policy.Plan{Network: true, Landlock: &landlock.Ruleset{}}

// listView prints the mounts of a view that are not the same for all tasks.
func listView(v *view) string {
	var out []string
	for _, m := range v.list() {
		if m.Type == executor.Dir || strings.HasPrefix(m.Target, "/dev") || strings.HasPrefix(m.Target, "/proc/") || strings.HasPrefix(m.Target, "/sys") ||
			m.Type == executor.Symlink && filepath.Dir(m.Target) == "/" {
			continue
		}
		s := string(m.Type) + ":" + m.Target
		if m.Type == executor.Bind && m.Source != m.Target {
			s += "=" + m.Source
		}
		if m.ReadOnly {
			s += ":ro"
		}
		if m.Create {
			s += "+"
		}
		out = append(out, s)
	}
	return strings.Join(out, " ")
}

func TestView(t *testing.T) {
	dirs := testDirs(t)
	data := filepath.Dir(dirs.Mounts)
	task := dirs.Task
	own := " bind:" + task + "+ bind:" + task + "/alloc/logs:ro"
	tmp := "bind:/tmp=" + task + "/tmp+ "
	const (
		base    = "bind:/etc:ro+ mask:/etc/passwd proc:/proc:ro+ bind:/run/resolv.conf:ro+ "
		usr     = "bind:/usr:ro+"
		devDirs = "/tmp/N"
	)
	for _, tc := range []struct {
		name    string
		dirs    *Dirs
		roots   policy.Roots
		volumes []volume
		want    string
	}{
		{"default", dirs, policy.Roots{Workspace: dirs.own()}, nil, base + tmp + usr + own},
		{
			"roots that are named", dirs,
			policy.Roots{Workspace: []string{task + "/local"}, ReadOnly: []string{"/srv/m"}, Links: []policy.Link{{Path: "/srv/current", Target: "m"}, {Path: "/usr/link", Target: "x"}}},
			nil, base + "symlink:/srv/current+ bind:/srv/m:ro+ " + tmp + usr + " bind:" + task + "/local+",
		},
		{
			"workspace in a read-only root", dirs,
			policy.Roots{Workspace: []string{"/srv/m/w", "/srv/m/w/x"}, ReadOnly: []string{"/srv/m"}},
			nil, base + "bind:/srv/m:ro+ bind:/srv/m/w " + tmp + usr,
		},
		{
			"read-only root in a workspace", dirs,
			policy.Roots{Workspace: []string{"/srv/m"}, ReadOnly: []string{"/srv/m/ro", "/srv/m/ro/deeper"}},
			nil, base + "bind:/srv/m+ bind:/srv/m/ro:ro " + tmp + usr,
		},
		{
			"roots in system roots", dirs,
			policy.Roots{Workspace: []string{"/usr/local/w"}, ReadOnly: []string{"/usr/share"}},
			nil, base + tmp + usr + " bind:/usr/local/w",
		},
		{
			"a root above all allocations", dirs,
			policy.Roots{Workspace: []string{data, task}},
			nil, base + tmp + usr + " bind:" + data + "+ mask:" + data + "/alloc tmpfs:" + data + "/mounts:ro" + own,
		},
		{
			"the agent's data in /tmp", &Dirs{Task: devDirs + "/a-t", Clients: devDirs},
			policy.Roots{Workspace: []string{devDirs + "/a-t"}},
			nil, base + "bind:/tmp=/tmp/N/a-t/tmp+ bind:/tmp/N/a-t+ " + usr,
		},
		{
			"volumes", dirs,
			policy.Roots{Workspace: dirs.own()},
			[]volume{{host: "/srv/v", task: task + "/local/v"}, {host: "/srv/w", task: "/new/place", readOnly: true}, {host: "/srv/x", task: "/usr/share/x"}},
			"bind:/etc:ro+ mask:/etc/passwd bind:/new/place=/srv/w:ro+ proc:/proc:ro+ bind:/run/resolv.conf:ro+ " + tmp + usr + " bind:/usr/share/x=/srv/x" +
				own + " bind:" + task + "/local/v=/srv/v+",
		},
	} {
		w := testLayout(tc.dirs)
		w.volumes = tc.volumes
		v, err := makeView(w, tc.roots, policy.FullAccess, confined)
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
		} else if got := listView(v); got != tc.want {
			t.Errorf("%s:\ngot  %s\nwant %s", tc.name, got, tc.want)
		}
	}
	// Without network there is nothing to resolve names with, and without
	// confinement there is the host's file system.
	v, err := makeView(testLayout(dirs), policy.Roots{}, policy.FullAccess, &policy.Plan{Landlock: &landlock.Ruleset{}})
	if err != nil || strings.Contains(listView(v), "resolv.conf") {
		t.Errorf("no network: %v, %v", listView(v), err)
	}
	v, err = makeView(testLayout(dirs), policy.Roots{Workspace: dirs.own()}, policy.FullAccess, &policy.Plan{Network: true})
	if err != nil || listView(v) != "proc:/proc:ro" || v.private {
		t.Errorf("unconfined: %v, %v", listView(v), err)
	}
}

// Where Landlock cannot take rights away, mounts can: under a private
// directory, and without Landlock.
func TestRightsByMount(t *testing.T) {
	dirs := &Dirs{Task: "/data/mounts/a-t", Clients: "/data/alloc"}
	seccompAlone := &policy.Plan{Deny: []*seccomp.Group{seccomp.Baseline}}
	for _, tc := range []struct {
		root   string
		access landlock.AccessFS
		plan   *policy.Plan
		want   string
	}{
		{"/tmp/w", policy.FullAccess, confined, "bind:/tmp/w+"},
		{"/tmp/w", policy.ReadAccess, confined, "bind:/tmp/w:ro+"},
		{"/tmp/w", landlock.RemoveFile, confined, ""},
		{"/w", policy.ReadAccess, confined, "bind:/w+"},
		{"/w", policy.ReadAccess, seccompAlone, "bind:/w:ro+"},
		{"/w", landlock.RemoveFile, seccompAlone, "bind:/w+"},
	} {
		v, err := makeView(testLayout(dirs), policy.Roots{Workspace: []string{tc.root}}, tc.access, tc.plan)
		if tc.want == "" {
			wantError(t, tc.access.String(), err, tc.root, "alloc_dir", "remove_file")
		} else if err != nil || !slices.Contains(strings.Fields(listView(v)), tc.want) {
			t.Errorf("%+v: %s, %v", tc, listView(v), err)
		}
	}
}

// The same for volumes, which show another place, and for what lies in a
// private directory beneath another root.
func TestRightsByMountOfVolumes(t *testing.T) {
	dirs := &Dirs{Task: "/data/mounts/a-t", Clients: "/data/alloc"}
	seccompAlone := &policy.Plan{Deny: []*seccomp.Group{seccomp.Baseline}}
	roots := policy.Roots{ReadOnly: []string{"/tmp/ro"}, Workspace: []string{"/tmp/ro/w"}}
	for _, tc := range []struct {
		volume volume
		access landlock.AccessFS
		plan   *policy.Plan
		want   string
	}{
		{volume{host: "/v", task: "/tmp/v"}, policy.FullAccess, confined, "bind:/tmp/v=/v+ bind:/tmp/ro/w"},
		{volume{host: "/v", task: "/tmp/v"}, policy.ReadAccess, confined, "bind:/tmp/v=/v:ro+ bind:/tmp/ro/w:ro"},
		{volume{host: "/v", task: "/tmp/v"}, landlock.RemoveFile, confined, ""},
		{volume{host: "/v", task: "/v"}, policy.ReadAccess, confined, "bind:/v=/v+ bind:/tmp/ro/w:ro"},
		{volume{host: "/x", task: "/v"}, policy.ReadAccess, seccompAlone, "bind:/v=/x:ro+ bind:/tmp/ro/w:ro"},
		{volume{host: "/x", task: "/v"}, policy.ReadAccess, &policy.Plan{}, "bind:/v=/x"}, // unconfined: capabilities mean nothing
	} {
		w := testLayout(dirs)
		w.volumes = []volume{tc.volume}
		placed := roots
		if tc.want == "" {
			placed = policy.Roots{}
		}
		v, err := makeView(w, placed, tc.access, tc.plan)
		if tc.want == "" {
			wantError(t, tc.access.String(), err, `volume_mount: destination "/tmp/v"`, "remove_file", "outside of /tmp")
			continue
		}
		if err != nil {
			t.Errorf("%+v: %v", tc, err)
			continue
		}
		for _, want := range strings.Fields(strings.ReplaceAll(tc.want, "bind:/v=/v", "bind:/v")) {
			if !slices.Contains(strings.Fields(listView(v)), want) {
				t.Errorf("%+v: %s, want %s", tc.volume, listView(v), want)
			}
		}
	}
}

func TestViewAdmits(t *testing.T) {
	dirs := testDirs(t)
	data := filepath.Dir(dirs.Mounts)
	plan := &policy.Plan{Landlock: &landlock.Ruleset{Paths: []landlock.PathRule{
		{Path: "/tmp", Access: landlock.ReadFile},
		{Path: "/srv", Access: landlock.ReadFile},
		{Path: data, Access: landlock.ReadFile},
		{Path: dirs.Task, Access: landlock.ReadFile},
		{Path: "/dev/shm", Access: landlock.ReadFile},
	}}}
	v, err := makeView(testLayout(dirs), policy.Roots{Workspace: []string{"/tmp/w", data, dirs.Task}, ReadOnly: []string{"/srv"}}, policy.FullAccess, plan)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{
		"/tmp/w/x": true, dirs.Task + "/x": true,
		// They appear beside what is protected: nothing says what they are.
		data + "/x": false, data + "/alloc-more": false, "/srv/x": false,
		data + "/alloc/b": false, data + "/mounts/b-t": false,
		"/tmp/x": true, "/dev/shm/x": true,
		"/etc/hostname": false, // no rule
		"/var/x":        false, // not there
	} {
		if got := v.admits(path, landlock.ReadFile); got != want {
			t.Errorf("%s: %v, want %v", path, got, want)
		}
	}
	for path, want := range map[string]string{
		"/srv/x": "/srv/x", "/tmp/x": dirs.Task + "/tmp/x", "/tmp/w/x": "/tmp/w/x", "/var/x": "", data + "/alloc/x": "", "/dev/null": "",
	} {
		if got, visible := v.hostPath(path); got != want || visible != (want != "") {
			t.Errorf("%s is %q on the host, want %q", path, got, want)
		}
	}
}

// What a workspace shows stays writable, also where the task may connect to
// sockets of others.
func TestSocketRootsInAWorkspace(t *testing.T) {
	w := testLayout(&Dirs{Task: "/t"})
	roots := policy.Roots{Workspace: []string{"/t/local"}, ReadOnly: []string{"/srv"}, Sockets: []string{"/t/local", "/t/local/run", "/srv/db", "/run/db"}}
	var got []string
	for _, m := range w.rootMounts(roots) {
		got = append(got, fmt.Sprintf("%s read-only=%v", m.Target, m.ReadOnly))
	}
	want := []string{"/t/local read-only=false", "/srv read-only=true", "/run/db read-only=true"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A directory with a socket that controls the host, and very many other files, is refused
// without reading all of them.
func TestWithoutSocketsOfManyFiles(t *testing.T) {
	dir := t.TempDir()
	const files = 20_000
	for i := range files {
		if err := os.WriteFile(filepath.Join(dir, strconv.Itoa(i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w := testLayout(testDirs(t))
	w.places = append(w.places, place{real: filepath.Join(dir, "engine.sock"), rule: socket})
	var err error
	n := testing.AllocsPerRun(1, func() { _, err = w.withoutSockets([]placed{shown(dir, true)}, policy.Roots{}) })
	if err == nil || !strings.Contains(err.Error(), "has more than 512 files") {
		t.Errorf("%v, want that there are too many", err)
	}
	if n > files/2 {
		t.Errorf("%v allocations of memory for %d files, expected that they are not read", n, files)
	}
}
