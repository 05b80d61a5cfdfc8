// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/nomad/nomad/structs"
	"github.com/hashicorp/nomad/plugins/drivers"
	"github.com/opencontainers/cgroups"
	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/executor"
	"github.com/burin-labs/nomad-driver-harn/internal/kerneltest"
	"github.com/burin-labs/nomad-driver-harn/landlock"
	"github.com/burin-labs/nomad-driver-harn/policy"
	"github.com/burin-labs/nomad-driver-harn/seccomp"
)

func TestMain(m *testing.M) {
	kerneltest.Isolate()
	if _, chosen := os.LookupEnv("NOMAD_TEST_LOG_LEVEL"); !chosen {
		_ = os.Setenv("NOMAD_TEST_LOG_LEVEL", "OFF") // of Nomad's own test harness
	}
	os.Exit(m.Run())
}

// testLogger is quiet unless the tests are verbose.
func testLogger(t *testing.T) hclog.Logger {
	t.Helper()
	if !testing.Verbose() {
		return hclog.NewNullLogger()
	}
	return hclog.New(&hclog.LoggerOptions{Level: hclog.Debug, Output: os.Stderr})
}

func wantError(t *testing.T, name string, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("%s: no error, want one with %q", name, parts)
		return
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%s: %q does not say %q", name, err, part)
		}
	}
}

func TestParseSignal(t *testing.T) {
	for name, want := range map[string]unix.Signal{
		"SIGHUP": unix.SIGHUP, "HUP": unix.SIGHUP, "hup": unix.SIGHUP, " SIGUSR1 ": unix.SIGUSR1, "SIGKILL": unix.SIGKILL,
	} {
		if got, err := parseSignal(name); err != nil || got != want {
			t.Errorf("%q: %v, %v, want %v", name, got, err, want)
		}
	}
	for _, name := range []string{"", "SIG", "SIGFOO", "9"} {
		_, err := parseSignal(name)
		wantError(t, name, err, "unknown signal", "SIGTERM")
	}
}

func TestRecordsDirIsOneComponent(t *testing.T) {
	const alloc = "0123456789abcdef"
	dirs := map[string]bool{}
	for _, task := range []string{"web", "a/b", "..", strings.Repeat("x", 300), "Größe", ""} {
		dir := recordsDir("/state", alloc, task, alloc+"/"+task+"/1")
		if filepath.Dir(dir) != "/state" || len(filepath.Base(dir)) > 100 || dirs[dir] {
			t.Errorf("task %q: %s", task, dir)
		}
		dirs[dir] = true
	}
	if recordsDir("/state", alloc, "web", "1") == recordsDir("/state", alloc, "web", "2") {
		t.Error("two starts of a task share their records")
	}
}

func TestLookupUser(t *testing.T) {
	kerneltest.Root(t)
	dir := t.TempDir()
	for _, tc := range []struct {
		name      string
		owner     int // of the task directory
		allowRoot bool
		uid       uint32
		errors    []string
	}{
		{name: "nobody", uid: 65534},
		{name: "", uid: 65534},
		{name: "", owner: 80123, uid: 80123}, // Nomad forgot the dynamic user
		{name: "", owner: 1000, uid: 65534},
		{name: "nomad-80001", owner: 1000, uid: 80001},
		{name: "root", errors: []string{`user: "root"`, "allow_root"}},
		{name: "root", allowRoot: true, uid: 0},
		{name: "no-such-user", errors: []string{`user: "no-such-user"`, "no such user", "create"}},
		{name: "nomad-5", errors: []string{`"nomad-5"`}},
		{name: "nomad-x", errors: []string{`"nomad-x"`}},
		{name: "nomad-99999999999", errors: []string{"nomad-99999999999"}},
		// -1 is no user, in whatever form.
		{name: "nomad-4294967295", errors: []string{"nomad-4294967295"}},
		{name: "4294967295", errors: []string{`"4294967295"`, "decimal", "0 to 4294967294"}},
		{name: "-1", errors: []string{`"-1"`}},
		{name: "nomad-2147483648", errors: []string{"nomad-2147483648"}}, // Nomad parses no such number
		{name: "nomad-080001", errors: []string{"nomad-080001"}},
		{name: "nomad-+80001", errors: []string{"nomad-+80001"}},
		// A number is the user with that UID, and root in no disguise.
		{name: "65534", uid: 65534},
		{name: "0", errors: []string{`"0"`, "allow_root"}},
		{name: "00", allowRoot: true, errors: []string{`"00"`, "decimal"}},
		{name: "0x0", allowRoot: true, errors: []string{`"0x0"`, "decimal"}},
		{name: "4294967296", allowRoot: true, errors: []string{`"4294967296"`, "decimal"}},
		{name: "18446744073709551616", allowRoot: true, errors: []string{`"18446744073709551616"`, "decimal"}},
		{name: "+0", allowRoot: true, errors: []string{`"+0"`}},
		{name: " 0", allowRoot: true, errors: []string{`" 0"`, "space"}},
		{name: "0\n", allowRoot: true, errors: []string{`"0\n"`}},
		{name: "root ", allowRoot: true, errors: []string{`"root "`}},
		{name: "root\x00x", allowRoot: true, errors: []string{`"root\x00x"`}},
		{name: "nobody:nogroup", errors: []string{`"nobody:nogroup"`, "groups"}},
		{name: "65534:0", errors: []string{`"65534:0"`, "groups"}},
		{name: "../root", errors: []string{`"../root"`}},
		{name: "1and1", errors: []string{`"1and1"`, "no such user"}}, // a name
	} {
		if err := os.Chown(dir, tc.owner, tc.owner); err != nil {
			t.Fatal(err)
		}
		got, err := lookupUser(tc.name, dir, &Config{AllowRoot: tc.allowRoot})
		if tc.errors != nil {
			wantError(t, tc.name, err, tc.errors...)
		} else if err != nil || got.UID != tc.uid || got.GID != tc.uid {
			t.Errorf("%+v: %+v, %v", tc, got, err)
		}
	}
}

func TestUserGroupsAndDenial(t *testing.T) {
	// games and its groups are in every Debian's files, and getent knows them, too.
	files, err := lookupFiles("games")
	if err != nil {
		t.Skip("this system has no user games")
	}
	if getent, err := lookupGetent("games"); err != nil || getent.UID != files.UID || getent.GID != files.GID || getent.Name != "games" {
		t.Errorf("getent: %+v, %v, files: %+v", getent, err, files)
	}
	for _, name := range []string{"no-such-user", "-x", ""} {
		if id, err := lookupGetent(name); err == nil {
			t.Errorf("%q: %+v", name, id)
		}
	}
	for _, tc := range []struct {
		list   []string
		denied bool
	}{
		{nil, false},
		{[]string{"games"}, true},
		{[]string{"www-data", "nobody"}, false},
		{[]string{"5"}, true},
		{[]string{"1-100"}, true},
		{[]string{"6-100", "0-4"}, false},
	} {
		d, err := parseDeniedUsers(tc.list)
		if err != nil {
			t.Fatal(err)
		}
		_, err = lookupUser("games", "/", &Config{deniedUsers: d})
		if (err != nil) != tc.denied {
			t.Errorf("%q: %v, want denied %v", tc.list, err, tc.denied)
		}
	}
	for _, list := range [][]string{{""}, {"5-"}, {"9-1"}, {"1-x"}} {
		if d, err := parseDeniedUsers(list); err == nil {
			t.Errorf("%q: %+v", list, d)
		}
	}
}

func TestCapabilities(t *testing.T) {
	if len(capabilityNames) != unix.CAP_LAST_CAP+1 || capabilityNames[unix.CAP_SYS_ADMIN] != "sys_admin" || capabilityNames[netBindService] != "net_bind_service" {
		t.Error("the table is not the kernel's")
	}
	bind, raw := []string{"NET_BIND_SERVICE"}, []string{"cap_net_raw"}
	for _, tc := range []struct {
		add, drop, allow []string
		network          bool
		want             []int
		errors           []string
	}{
		{nil, nil, nil, true, nil, nil},
		{nil, nil, bind, true, []int{unix.CAP_NET_BIND_SERVICE}, nil},
		{nil, nil, bind, false, nil, nil},
		{nil, bind, bind, true, nil, nil},
		{nil, []string{"ALL"}, bind, true, nil, nil},
		{raw, nil, []string{"net_raw", "net_bind_service"}, true, []int{unix.CAP_NET_BIND_SERVICE, unix.CAP_NET_RAW}, nil},
		{raw, raw, raw, true, []int{}, nil},
		{[]string{"all"}, []string{"sys_admin"}, []string{"sys_admin", "kill"}, false, nil, []string{"cap_add", "chown", "not allowed", "kill, sys_admin"}},
		{raw, nil, nil, true, nil, []string{"cap_add", "net_raw", "not allowed", "allow_caps: none"}},
		{[]string{"fly"}, nil, nil, true, nil, []string{"cap_add", `"fly"`}},
		{nil, []string{"fly"}, nil, true, nil, []string{"cap_drop", `"fly"`}},
	} {
		allowed, err := parseCapabilities(tc.allow)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decideCapabilities(&TaskConfig{CapAdd: tc.add, CapDrop: tc.drop}, allowed, tc.network)
		if tc.errors != nil {
			wantError(t, "capabilities", err, tc.errors...)
		} else if err != nil || !slices.Equal(got, tc.want) {
			t.Errorf("%+v: %v, %v", tc, got, err)
		}
	}
}

func TestCapabilitiesOfOSHardened(t *testing.T) {
	allowed := []int{netBindService, 0}
	for profile, want := range map[policy.Profile][]int{policy.OSHardened: {}, policy.Worktree: {netBindService}} {
		p := &policy.Policy{SandboxProfile: profile.String()}
		got, err := profileCapabilities(&TaskConfig{}, allowed, p)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%v: %v, %v, want %v", profile, got, err, want)
		}
		_, err = profileCapabilities(&TaskConfig{CapAdd: []string{"chown"}}, allowed, p)
		if profile == policy.OSHardened {
			wantError(t, "cap_add", err, "cap_add", "os_hardened", "worktree")
		} else if err != nil {
			t.Errorf("%v: %v", profile, err)
		}
	}
}

func TestCoreDumps(t *testing.T) {
	core := func(soft, hard uint64) executor.Limit {
		return executor.Limit{Resource: unix.RLIMIT_CORE, Soft: soft, Hard: hard}
	}
	files := executor.Limit{Resource: unix.RLIMIT_NOFILE, Soft: 1, Hard: 2}
	for _, tc := range []struct {
		profile policy.Profile
		limits  []executor.Limit
		want    []executor.Limit // nil: refused
	}{
		{policy.Worktree, []executor.Limit{files}, []executor.Limit{files, core(1, 1)}},
		{policy.Worktree, []executor.Limit{core(5, 9)}, []executor.Limit{core(5, 9)}},
		{policy.Worktree, []executor.Limit{core(0, 0), files}, []executor.Limit{core(1, 1), files}},
		{policy.Worktree, []executor.Limit{core(0, 9)}, []executor.Limit{core(0, 9)}},
		{policy.OSHardened, []executor.Limit{files}, []executor.Limit{files, core(1, 1)}},
		{policy.OSHardened, []executor.Limit{core(0, 0), files}, []executor.Limit{core(1, 1), files}},
		{policy.OSHardened, []executor.Limit{core(0, 9)}, nil},
		{policy.Unrestricted, []executor.Limit{files}, []executor.Limit{files}},
	} {
		got, err := limitCore(slices.Clone(tc.limits), tc.profile)
		if tc.want == nil {
			wantError(t, "core", err, "ulimit: core", "os_hardened", "set it to 0")
		} else if err != nil || !slices.Equal(got, tc.want) {
			t.Errorf("%v with %v: %v, %v, want %v", tc.profile, tc.limits, got, err, tc.want)
		}
	}
}

func TestLimits(t *testing.T) {
	got, err := parseLimits(map[string]string{"nofile": "100:200", "core": "0", "nproc": "7"})
	want := []executor.Limit{
		{Resource: unix.RLIMIT_CORE},
		{Resource: unix.RLIMIT_NOFILE, Soft: 100, Hard: 200},
		{Resource: unix.RLIMIT_NPROC, Soft: 7, Hard: 7},
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	var agents unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &agents); err != nil {
		t.Fatal(err)
	}
	for value, want := range map[string]string{
		"": "is not a number", "x": `"x" is not a number`, "-2": "is not a number", "1:2:3": "is not a number", "9:8": "above the hard one",
		"unlimited": "exceeds the agent's own hard limit", fmt.Sprint(agents.Max + 1): fmt.Sprint(agents.Max),
	} {
		_, err := parseLimits(map[string]string{"nofile": value})
		wantError(t, value, err, "ulimit", "nofile", want)
	}
	_, err = parseLimits(map[string]string{"files": "1"})
	wantError(t, "unknown", err, `"files"`, "nofile")
}

func TestResources(t *testing.T) {
	cfg := func(memory, most, shares int64, percent float64) *drivers.TaskConfig {
		return &drivers.TaskConfig{Resources: &drivers.Resources{
			NomadResources: &structs.AllocatedTaskResources{Memory: structs.AllocatedMemoryResources{MemoryMB: memory, MemoryMaxMB: most}},
			LinuxResources: &drivers.LinuxResources{CPUShares: shares, PercentTicks: percent, CpusetCpus: "1"},
		}}
	}
	resources := func(c *drivers.TaskConfig, task TaskConfig, most int64) *cgroups.Resources {
		t.Helper()
		r, err := makeResources(c, &task, &Config{PidsLimit: most}, 4)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	r := resources(cfg(64, 0, 100, 0.25), TaskConfig{}, 4096)
	if r.Memory != 64<<20 || r.MemorySwap != 64<<20 || r.MemoryReservation != 64<<20 || r.CpuShares != 100 || r.CpuWeight == 0 ||
		r.CpuQuota != 0 || *r.PidsLimit != 4096 || r.CpusetCpus != "1" {
		t.Errorf("%+v", r)
	}
	if r = resources(cfg(64, 128, 100, 0.25), TaskConfig{CPUHardLimit: true, PidsLimit: 5}, 0); r.Memory != 128<<20 || r.MemoryReservation != 64<<20 ||
		r.CpuQuota != 100_000 || r.CpuPeriod != 100_000 || *r.PidsLimit != 5 {
		t.Errorf("%+v", r) // a quarter of 4 cores is one
	}
	if r = resources(cfg(64, -1, 1, 0.0001), TaskConfig{CPUHardLimit: true}, 0); r.Memory != -1 || r.MemorySwap != -1 || r.CpuQuota != 1000 || r.PidsLimit != nil {
		t.Errorf("%+v", r)
	}
	_, err := makeResources(cfg(1, 0, 1, 0), &TaskConfig{PidsLimit: 9}, &Config{PidsLimit: 8}, 1)
	wantError(t, "pids_limit", err, "pids_limit: 9", "operator's 8")
	for want, task := range map[string]TaskConfig{
		"oom_score_adj: -1":   {OOMScoreAdj: -1},
		"oom_score_adj: 1001": {OOMScoreAdj: 1001},
		"nice: -1":            {Nice: -1},
		"nice: 20":            {Nice: 20},
		"pids_limit: -1":      {PidsLimit: -1},
		`pid_mode: unknown`:   {PIDMode: "hots"},
		`ipc_mode: unknown`:   {IPCMode: "x"},
	} {
		task.Command = "x"
		wantError(t, want, task.validate(), want, "expected")
	}
}

func TestDNS(t *testing.T) {
	dns := &drivers.DNSConfig{Servers: []string{"1.1.1.1", "::1"}, Searches: []string{"a.b", "c"}, Options: []string{"ndots:2"}}
	if got, want := findDNS(&drivers.TaskConfig{DNS: dns}), "nameserver 1.1.1.1\nnameserver ::1\nsearch a.b c\noptions ndots:2\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := findDNS(&drivers.TaskConfig{DNS: &drivers.DNSConfig{}}); got != "" {
		t.Errorf("got %q for nothing", got)
	}
	dir := t.TempDir()
	for content, want := range map[string]string{
		"nameserver 127.0.0.53\noptions x\n":              "real",
		"nameserver ::1\nnameserver 127.0.0.1\n":          "real",
		"nameserver 127.0.0.53\nnameserver 192.168.1.1\n": "",
		"nameserver 10.0.0.1\n":                           "",
	} {
		if err := os.WriteFile(dir+"/first", []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(dir+"/second", []byte("real"), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := beyondLoopback(dir+"/first", dir+"/second"); got != want {
			t.Errorf("%q: %q, want %q", content, got, want)
		}
		if got := beyondLoopback(dir+"/first", dir+"/none"); got != "" {
			t.Errorf("%q: %q without another file", content, got)
		}
	}
}

func TestModes(t *testing.T) {
	for _, tc := range []struct {
		task   TaskConfig
		config Config
		want   modes
		errors []string
	}{
		{TaskConfig{}, Config{}, modes{}, nil},
		{TaskConfig{PIDMode: "private", IPCMode: "private"}, Config{}, modes{}, nil},
		{TaskConfig{PIDMode: "host"}, Config{AllowHostPID: true}, modes{hostPID: true}, nil},
		{TaskConfig{IPCMode: "host"}, Config{AllowHostIPC: true}, modes{hostIPC: true}, nil},
		{TaskConfig{PIDMode: "host"}, Config{AllowHostIPC: true}, modes{}, []string{"pid_mode", "allow_host_pid"}},
		{TaskConfig{IPCMode: "host"}, Config{AllowHostPID: true}, modes{}, []string{"ipc_mode", "allow_host_ipc"}},
	} {
		got, err := decideModes(&tc.task, &tc.config)
		if tc.errors != nil {
			wantError(t, "modes", err, tc.errors...)
		} else if err != nil || got != tc.want {
			t.Errorf("%+v: %+v, %v", tc, got, err)
		}
	}
}

// commandDir makes a task directory with programs.
func commandDir(t *testing.T) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, sub := range []string{"local", "bin", "elsewhere"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, mode := range map[string]os.FileMode{
		"local/agent": 0o755, "top": 0o755, "local/data": 0o644, "bin/tool": 0o755, "elsewhere/tool2": 0o755, "bin/agent": 0o755,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("../elsewhere/tool2", filepath.Join(dir, "bin/link")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// viewOf is a view of the host in which the task can execute what the system has
// and what lies in roots.
func viewOf(roots ...string) *view {
	const all = landlock.Execute | landlock.ReadFile | landlock.ReadDir
	r := &landlock.Ruleset{HandledFS: all}
	for _, root := range append(realPaths(defaultSystemReadRoots), roots...) {
		r.Paths = append(r.Paths, landlock.PathRule{Path: root, Access: all})
	}
	return &view{ruleset: r}
}

func TestFindCommand(t *testing.T) {
	dir := commandDir(t)
	v := viewOf(dir+"/local", dir+"/bin", dir+"/top")
	path := "relative:" + dir + "/elsewhere:" + dir + "/bin"
	f := &finder{view: v, taskDir: dir, path: path}
	for command, want := range map[string]string{
		"agent":           "/local/agent", // local/ comes before PATH
		"top":             "/top",
		"tool":            "/bin/tool",
		"local/agent":     "/local/agent",
		"./local/agent":   "/local/agent",
		dir + "/bin/tool": "/bin/tool",
	} {
		if got, err := f.find(command); err != nil || got != dir+want {
			t.Errorf("%s: %s, %v, want %s", command, got, err, dir+want)
		}
	}
	for command, want := range map[string][]string{
		"none":                   {`"none" was not found`, "PATH", path},
		"local/none":             {`"local/none"`, "was not found"},
		"/none":                  {`"/none"`, "was not found"},
		"local":                  {`"local"`, "not a file"},
		"local/data":             {`"local/data"`, "not executable", "chmod"},
		"../x":                   {`"../x"`, "leaves the task directory"},
		dir + "/elsewhere/tool2": {"outside of every root", `read_only_roots = ["` + dir + `/elsewhere"]`},
		"tool2":                  {"outside of every root", dir + "/elsewhere"},
		"link":                   {"outside of every root", dir + "/elsewhere"}, // where it really is
	} {
		_, err := f.find(command)
		wantError(t, command, err, want...)
	}
	// Unconfined, there is no outside.
	if got, err := (&finder{view: &view{}, taskDir: dir, path: path}).find("tool2"); err != nil || got != dir+"/elsewhere/tool2" {
		t.Errorf("unconfined: %s, %v", got, err)
	}
}

// testWorld is the world of a task on a host with few things.
func testWorld(dirs *taskDirs) *taskWorld {
	places := protectedPlaces(&Config{MaskedPaths: []string{"/etc/passwd", "/srv/secret"}}, dirs, nil)
	return &taskWorld{
		dirs:   dirs,
		policy: policy.World{System: []string{"/usr", "/etc"}, Network: []string{"/run/resolv.conf"}},

		overlayWorks: func(string) error { return errors.New("not here") },

		places: slices.DeleteFunc(places, func(p place) bool { return slices.Contains(builtinMasks, p.path) }),
	}
}

// testDirs are directories of a task, beside those of another one.
func testDirs(t *testing.T) *taskDirs {
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
	return &taskDirs{Task: base + "/mounts/a-t", Clients: base + "/alloc", Mounts: base + "/mounts"}
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
		base    = "bind:/etc:ro+ mask:/etc/passwd proc:/proc+ bind:/run/resolv.conf:ro+ "
		usr     = "bind:/usr:ro+"
		devDirs = "/tmp/N"
	)
	for _, tc := range []struct {
		name    string
		dirs    *taskDirs
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
			"the agent's data in /tmp", &taskDirs{Task: devDirs + "/a-t", Clients: devDirs},
			policy.Roots{Workspace: []string{devDirs + "/a-t"}},
			nil, base + "bind:/tmp=/tmp/N/a-t/tmp+ bind:/tmp/N/a-t+ " + usr,
		},
		{
			"volumes", dirs,
			policy.Roots{Workspace: dirs.own()},
			[]volume{{host: "/srv/v", task: task + "/local/v"}, {host: "/srv/w", task: "/new/place", readOnly: true}, {host: "/srv/x", task: "/usr/share/x"}},
			"bind:/etc:ro+ mask:/etc/passwd bind:/new/place=/srv/w:ro+ proc:/proc+ bind:/run/resolv.conf:ro+ " + tmp + usr + " bind:/usr/share/x=/srv/x" +
				own + " bind:" + task + "/local/v=/srv/v+",
		},
	} {
		w := testWorld(tc.dirs)
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
	v, err := makeView(testWorld(dirs), policy.Roots{}, policy.FullAccess, &policy.Plan{Landlock: &landlock.Ruleset{}})
	if err != nil || strings.Contains(listView(v), "resolv.conf") {
		t.Errorf("no network: %v, %v", listView(v), err)
	}
	v, err = makeView(testWorld(dirs), policy.Roots{Workspace: dirs.own()}, policy.FullAccess, &policy.Plan{Network: true})
	if err != nil || listView(v) != "proc:/proc" || v.private {
		t.Errorf("unconfined: %v, %v", listView(v), err)
	}
}

// Where Landlock cannot take rights away, mounts can: under a private
// directory, and without Landlock.
func TestRightsByMount(t *testing.T) {
	dirs := &taskDirs{Task: "/data/mounts/a-t", Clients: "/data/alloc"}
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
		v, err := makeView(testWorld(dirs), policy.Roots{Workspace: []string{tc.root}}, tc.access, tc.plan)
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
	dirs := &taskDirs{Task: "/data/mounts/a-t", Clients: "/data/alloc"}
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
		w := testWorld(dirs)
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
	v, err := makeView(testWorld(dirs), policy.Roots{Workspace: []string{"/tmp/w", data, dirs.Task}, ReadOnly: []string{"/srv"}}, policy.FullAccess, plan)
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

func TestFindVolumes(t *testing.T) {
	kerneltest.Root(t)
	dirs := &taskDirs{Task: "/data/mounts/a-t", Clients: "/data/alloc"}
	source := t.TempDir()
	find := func(task, host, propagation string) ([]volume, error) {
		return findVolumes([]*drivers.MountConfig{{TaskPath: task, HostPath: host, PropagationMode: propagation, Readonly: true}}, dirs, defaultSystemReadRoots, nil)
	}
	for task, want := range map[string]string{
		"/srv/data": "/srv/data", "/srv/../opt/x/": "/opt/x", "data": "/data/mounts/a-t/data", "/etc/app": "/etc/app", "/data/mounts/a-t/local": "/data/mounts/a-t/local",
	} {
		got, err := find(task, source, "private")
		if err != nil || len(got) != 1 || got[0].task != want || !got[0].readOnly || got[0].propagate {
			t.Errorf("%s: %+v, %v", task, got, err)
		}
	}
	if got, err := find("/srv", source, "host-to-task"); err != nil || !got[0].propagate {
		t.Errorf("host-to-task: %+v, %v", got, err)
	}
	for task, want := range map[string]string{
		"/": "whole file system", "/usr": "/usr", "/etc/": "/etc", "/bin": "/bin", "/proc": "/proc", "/proc/x": "/proc", "/sys/fs": "/sys", "/dev/x": "/dev",
		"/data": "hide", "/data/mounts/a-t": "hide", "/srv/../": "whole file system", "../..": "hide", "a\x00b": "NUL",
	} {
		_, err := find(task, source, "")
		wantError(t, task, err, "volume_mount", want)
	}
	_, err := find("/srv", source+"/none", "")
	wantError(t, "source", err, "/srv", source+"/none does not exist")
	for _, mode := range []string{"bidirectional", "shared"} {
		_, err := find("/srv", source, mode)
		wantError(t, mode, err, "/srv", mode, "host-to-task")
	}
	_, err = findVolumes([]*drivers.MountConfig{{TaskPath: "/a", HostPath: source}, {TaskPath: "/a/", HostPath: source}}, dirs, defaultSystemReadRoots, nil)
	wantError(t, "twice", err, "two volumes")
}

func TestFindDevices(t *testing.T) {
	find := func(task, host, permissions string) ([]device, error) {
		return findDevices([]*drivers.DeviceConfig{{TaskPath: task, HostPath: host, Permissions: permissions}})
	}
	got, err := find("/dev/gpu0", "/dev/null", "rw")
	if err != nil || len(got) != 1 || got[0].host != "/dev/null" || got[0].Device != (policy.Device{Path: "/dev/gpu0", Read: true, Write: true, Ioctl: true}) {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err = find("/dev/gpu0", "/dev/null", "rm"); err != nil || got[0].Write || !got[0].Read {
		t.Errorf("%+v, %v", got, err)
	}
	for _, tc := range [][4]string{
		{"/gpu0", "/dev/null", "rw", "in /dev only"},
		{"/dev/../etc/x", "/dev/null", "rw", "in /dev only"},
		{"/dev/gpu0", "/dev/none", "rw", "no such file"},
		{"/dev/gpu0", "/etc/passwd", "rw", "not a device"},
		{"/dev/gpu0", "/dev/null", "rwx", `"rwx"`},
	} {
		_, err := find(tc[0], tc[1], tc[2])
		wantError(t, tc[0], err, "device", tc[0], tc[3])
	}
}

func TestOpenLog(t *testing.T) {
	alloc := t.TempDir()
	logs := filepath.Join(alloc, "alloc", "logs")
	if err := os.MkdirAll(logs, 0o777); err != nil {
		t.Fatal(err)
	}
	fifo := filepath.Join(logs, ".t.stdout.fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	secret := filepath.Join(alloc, "secret")
	if err := os.WriteFile(secret, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"link": fifo, "link-out": "/etc/passwd"} {
		if err := os.Symlink(target, filepath.Join(logs, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("logs", filepath.Join(alloc, "alloc", "dir-link")); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(logs, "link"):                                 "symbolic link",
		filepath.Join(logs, "link-out"):                             "symbolic link",
		filepath.Join(alloc, "alloc", "dir-link", ".t.stdout.fifo"): "symbolic link",
		filepath.Join(logs, "none"):                                 "no such file",
		secret:                                                      "not a FIFO",
		"/etc/passwd":                                               "not in the allocation's directory",
		logs + "/../../../x":                                        "not in the allocation's directory",
	} {
		_, err := openLog(alloc, path)
		wantError(t, path, err, want)
	}
	for _, path := range []string{"", os.DevNull} {
		f, err := openLog(alloc, path)
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	// A reader that comes a little later, and what it reads.
	read := make(chan string)
	go func() {
		time.Sleep(20 * time.Millisecond)
		r, err := os.Open(fifo)
		if err != nil {
			read <- err.Error()
			return
		}
		defer r.Close()
		text, _ := io.ReadAll(r)
		read <- string(text)
	}()
	f, err := openLog(alloc, fifo)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("line\n"); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if got := <-read; got != "line\n" {
		t.Errorf("read %q", got)
	}
}

func TestFindTaskDirsBelievesOnlyTheClient(t *testing.T) {
	kerneltest.Root(t)
	base, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"/alloc/a/t/local", "/alloc/a/alloc", "/mounts/a-t", "/other/local", "/other/alloc"} {
		if err := os.MkdirAll(base+dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	bind := func(from, to string) {
		t.Helper()
		if err := os.MkdirAll(to, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mount(from, to, "", unix.MS_BIND, ""); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = unix.Unmount(to, unix.MNT_DETACH) })
	}
	bind(base+"/alloc/a/t", base+"/mounts/a-t")
	bind(base+"/alloc/a/alloc", base+"/mounts/a-t/alloc")

	find := func(taskDir string) (*taskDirs, error) {
		return findTaskDirs(&drivers.TaskConfig{
			Name: "t", AllocDir: base + "/alloc/a", Env: map[string]string{"NOMAD_TASK_DIR": taskDir},
		})
	}
	dirs, err := find(base + "/mounts/a-t/local")
	if err != nil || dirs.Task != base+"/mounts/a-t" || dirs.Clients != base+"/alloc" {
		t.Errorf("got %+v, %v", dirs, err)
	}
	for _, lie := range []string{"", "/", "/etc/x", "local", base + "/other/local", base + "/none/local", base + "/alloc/a/t/local"} {
		_, err := find(lie)
		wantError(t, lie, err, "NOMAD_TASK_DIR")
	}
}

func TestV1Parent(t *testing.T) {
	for cpuset, want := range map[string]string{
		"/sys/fs/cgroup/cpuset/nomad/share":          "nomad",
		"/sys/fs/cgroup/cpuset/nomad/reserve/a.t":    "nomad",
		"/sys/fs/cgroup/cpuset/one/two/share":        "one/two",
		"/sys/fs/cgroup/cpuset/nomad/reserve/b.t":    "",
		"/sys/fs/cgroup/memory/nomad/share":          "",
		"/sys/fs/cgroup/nomad.slice/share.slice/a.t": "",
	} {
		got, err := v1Parent(cpuset, "a.t")
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v, want %q", cpuset, got, err, want)
		}
	}
}

func TestFingerprint(t *testing.T) {
	for _, tc := range []struct {
		name     string
		config   Config
		proof    executor.Proof
		health   drivers.HealthState
		says     string
		profiles string
	}{
		{"ABI 7", Config{}, executor.Proof{ABI: 7}, drivers.HealthStateHealthy, drivers.DriverHealthy, "worktree,os_hardened"},
		{"no Landlock", Config{}, executor.Proof{Landlock: "not built"}, drivers.HealthStateUnhealthy, "not built", ""},
		{"no Landlock, warn", Config{fallback: policy.Warn}, executor.Proof{Landlock: "not built"}, drivers.HealthStateHealthy, drivers.DriverHealthy, "worktree"},
		{"no Landlock, hardened only", Config{fallback: policy.Warn, Ceiling: &policy.Policy{SandboxProfile: "os_hardened"}}, executor.Proof{Landlock: "not built"}, drivers.HealthStateUnhealthy, "not built", ""},
		{"unrestricted", Config{Ceiling: &policy.Policy{SandboxProfile: "unrestricted"}}, executor.Proof{ABI: 1}, drivers.HealthStateHealthy, drivers.DriverHealthy, "unrestricted,worktree,os_hardened"},
		{"no seccomp", Config{}, executor.Proof{ABI: 7, Seccomp: "no filters"}, drivers.HealthStateUnhealthy, "no filters", "worktree,os_hardened"},
	} {
		if tc.config.Ceiling == nil {
			tc.config.Ceiling = &policy.Policy{}
		}
		fp := describe(&tc.config, tc.proof, 2)
		if fp.Health != tc.health || !strings.Contains(fp.HealthDescription, tc.says) {
			t.Errorf("%s: %s, %q", tc.name, fp.Health, fp.HealthDescription)
		}
		if got, _ := fp.Attributes["driver.harn.profiles"].GetString(); got != tc.profiles {
			t.Errorf("%s: profiles %q, want %q", tc.name, got, tc.profiles)
		}
		if got, _ := fp.Attributes["driver.harn.landlock.abi"].GetInt(); got != int64(tc.proof.ABI) {
			t.Errorf("%s: ABI %d", tc.name, got)
		}
	}
	features := func(abi landlock.ABI) (out string) {
		fp := describe(&Config{Ceiling: &policy.Policy{}}, executor.Proof{ABI: abi}, 1)
		for _, f := range []string{"fs", "net", "ioctl_dev", "scope", "audit", "unix"} {
			if on, _ := fp.Attributes["driver.harn.landlock."+f].GetBool(); on {
				out += f + " "
			}
		}
		return out
	}
	for abi, want := range map[landlock.ABI]string{
		0: "", 1: "fs ", 3: "fs ", 4: "fs net ", 5: "fs net ioctl_dev ", 6: "fs net ioctl_dev scope ",
		8: "fs net ioctl_dev scope audit ", 9: "fs net ioctl_dev scope audit unix ", 99: "fs net ioctl_dev scope audit unix ",
	} {
		if got := features(abi); got != want {
			t.Errorf("ABI %d: %s, want %s", abi, got, want)
		}
	}
}

// What a workspace shows stays writable, also where the task may connect to
// sockets of others.
func TestSocketRootsInAWorkspace(t *testing.T) {
	w := testWorld(&taskDirs{Task: "/t"})
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
