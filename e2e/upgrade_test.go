// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/nomad/api"

	"github.com/burin-labs/nomad-driver-harn/internal/kerneltest"
)

// Plugins of other versions, built by "make upgrade-test": an earlier one, and this one
// as if its records were of the next version.
var (
	earlierPlugin = os.Getenv("HARN_UPGRADE_FROM")
	nextPlugin    = os.Getenv("HARN_UPGRADE_NEXT")
)

// lasting is a task that lasts until it is stopped. It says what it hears.
const lasting = `
		trap 'echo got USR1' USR1
		trap 'echo got TERM; exit 3' TERM
		trap 'echo got INT; exit 4' INT
		trap 'python3 -c "bytes(200 << 20).count(1)"; echo went on' USR2
		sleep 100000 &
		echo ready
		while :; do sleep 0.1; done`

// kinds are tasks that differ in what the driver keeps of them. ends is what Nomad says
// of their end, by itself where own is set, or when they are stopped.
var upgradeKinds = []struct {
	name, script, config, task, ends string
	own                              bool
	egress                           bool
}{
	{name: "plain", ends: "Exit Code: 3"},
	{name: "user", task: `user = "games"`, ends: "Exit Code: 3"},
	{name: "memory", task: "resources {\n cpu = 500\n memory = 64\n memory_max = 96\n}", ends: "Exit Code: 3"},
	{name: "kill-signal", task: `kill_signal = "SIGINT"`, ends: "Exit Code: 4"},
	{name: "timeout", script: "trap '' TERM; " + strings.Replace(lasting, "trap 'echo got TERM", ": '", 1), task: `kill_timeout = "1s"`, ends: "Exit Code: 137, Signal: 9"},
	{name: "no-network", config: "capability_policy {\n side_effect_level = \"process_exec\"\n}", ends: "Exit Code: 3"},
	{name: "hardened", config: "capability_policy {\n sandbox_profile = \"os_hardened\"\n workspace_roots = [\"local\"]\n}", ends: "Exit Code: 3"},
	{name: "work-dir", config: `work_dir = "local"`, ends: "Exit Code: 3"},
	{name: "limits", config: "cpu_hard_limit = true\n pids_limit = 64\n oom_score_adj = 100", ends: "Exit Code: 3"},
	{name: "host-pid", config: `pid_mode = "host"`, ends: "Exit Code: 3"},
	{name: "egress", egress: true, ends: "Exit Code: 3"},
	{name: "exits-0", script: untilReleased + "0", own: true, ends: "Exit Code: 0"},
	{name: "exits-7", script: untilReleased + "7", own: true, ends: "Exit Code: 7"},
	{name: "exits-signal", script: untilReleased + "$(kill -9 $$)", own: true, ends: "Exit Code: 137, Signal: 9"},
}

// upgraded is a task that one version of the plugin has started.
type upgraded struct {
	*job
	name, ends  string
	own, egress bool
	first       []int // its supervisor
}

func (a *client) startKinds(t *testing.T, by, address string, egress bool, only ...string) (all []*upgraded) {
	t.Helper()
	for _, k := range upgradeKinds {
		if len(only) > 0 && !slices.Contains(only, k.name) || k.egress && !egress {
			continue
		}
		text, config := lasting, k.config
		if k.script != "" {
			text = k.script
		}
		if k.egress {
			config = fmt.Sprintf("capability_policy {\n side_effect_level = \"network\"\n egress {\n allow = [\"model.example.com:%[1]s\", \"127.0.0.1:%[1]s\"]\n }\n}", address[strings.LastIndexByte(address, ':')+1:])
		}
		hcl := batch(by+"-"+k.name+"-"+a.pool, script(text, config)+"env {\n GREETING = \"hello\"\n}\n"+k.task)
		if strings.Contains(k.task, "resources {") {
			hcl = strings.Replace(hcl, "resources {\n        cpu    = 50\n        memory = 128\n      }", "", 1)
		}
		all = append(all, &upgraded{job: a.submit(t, hcl), name: k.name, ends: k.ends, own: k.own, egress: k.egress})
	}
	for _, u := range all {
		u.untilRunning().untilLogged(map[bool]string{false: "ready", true: "start"}[u.own])
		u.first = supervisors(u.job)
	}
	return all
}

// check checks that a task goes on under the plugin that runs now, and that this one can
// do with it whatever the one that has started it could.
func (u *upgraded) check(t *testing.T, when, address string) {
	t.Helper()
	defer func() {
		if t.Failed() {
			t.Logf("%s: the last was %s\n%s", when, *u.ID, u.events())
		}
	}()
	u.untilRestored()
	u.untilRunning()
	if now := supervisors(u.job); !slices.Equal(now, u.first) || len(now) == 0 || u.count("Started") != 1 || u.count("Restarting") != 0 {
		t.Errorf("%s: %s: supervisor %v, and it was %v\n%s", when, *u.ID, now, u.first, u.events())
		return
	}
	if out, errs, code := u.exec(false, "", "/bin/sh", "-c", "echo $GREETING; ls /root > /dev/null 2>&1 || echo denied; exit 9"); out != "hello\ndenied\n" || code != 9 {
		t.Errorf("%s: %s: exec: %q %q %d", when, *u.ID, out, errs, code)
	}
	// A session sees the task's processes.
	if out, _, _ := u.exec(false, "", "/bin/sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"); !strings.Contains(out, "sleep 100000") {
		t.Errorf("%s: %s: exec sees the processes %q", when, *u.ID, out)
	}
	if u.egress {
		fetch := "exec 3<> /dev/tcp/model.example.com/" + address[strings.LastIndexByte(address, ':')+1:] + " && printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3 && tail -n 1 <&3"
		if out, errs, code := u.exec(false, "", "/bin/bash", "-c", fetch); out != "says 42\n" || code != 0 {
			t.Errorf("%s: %s: egress: %q %q %d", when, *u.ID, out, errs, code)
		}
	}
	heard := strings.Count(u.logs("stdout"), "got USR1")
	if err := u.a.Allocations().Signal(u.alloc, nil, "t", "SIGUSR1"); err != nil {
		t.Errorf("%s: %s: signal: %v", when, *u.ID, err)
	}
	eventually(t, *u.ID+" "+when+": it has not logged the signal", func() bool {
		return strings.Count(u.logs("stdout"), "got USR1") == heard+1
	})
	var usage *api.AllocResourceUsage
	eventually(t, *u.ID+" "+when+": its stats do not count two processes and their memory", func() bool {
		var err error
		usage, err = u.a.Allocations().Stats(u.alloc, nil)
		return err == nil && usage.ResourceUsage != nil && usage.Tasks["t"] != nil && len(usage.Tasks["t"].Pids) >= 2 &&
			usage.ResourceUsage.MemoryStats.RSS+usage.ResourceUsage.MemoryStats.Usage > 1<<19
	})
}

func stopped(t *testing.T, tasks []*upgraded, when string) {
	t.Helper()
	for _, u := range tasks {
		if u.own {
			release(t, u.a, u.job)
		} else if _, _, err := u.a.Jobs().Deregister(*u.ID, false, nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, u := range tasks {
		u.untilDead()
		if got := u.exited(); got != u.ends {
			t.Errorf("%s: %s: %q, expected %q\n%s", when, *u.ID, got, u.ends, u.events())
		}
	}
}

// change restarts the agent with another plugin. while is done when neither runs.
func (a *client) change(t *testing.T, plugin string, while func()) {
	t.Helper()
	a.leave(t)
	while()
	a.install(t, plugin)
	a.start(t)
}

func (a *client) leave(t *testing.T) {
	t.Helper()
	time.Sleep(time.Second) // until the client has stored what it knows of the tasks
	a.stop(t, syscall.SIGINT)
	eventually(t, "the plugin has not ended with the agent", func() bool {
		return len(running(a.dir+"/plugins/nomad-driver-harn")) == 0
	})
}

// TestUpgrade starts tasks under an earlier version of the plugin, upgrades it, and goes
// back, as an operator does: the agent is restarted with the other binary.
func TestUpgrade(t *testing.T) {
	if earlierPlugin == "" || nextPlugin == "" {
		t.Skip("run by make upgrade-test, which builds other versions of the plugin")
	}
	knowNames(t)
	model := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "says 42") }))
	t.Cleanup(model.Close)
	address := model.Listener.Addr().String()
	for name, logs := range map[string]string{"nomad": "", "driver": "logs {\n collector = \"driver\"\n}"} {
		t.Run("logs-by-"+name, func(t *testing.T) {
			a := newClient(t, shared.server, poolName(t), options{binary: earlierPlugin, plugin: "allow_host_pid = true\n" + logs})
			walkUpgrade(t, a, address)
			if !t.Failed() {
				checkNothingLeft(t, a)
			}
		})
	}
}

func walkUpgrade(t *testing.T, a *client, address string) {
	earlier := a.find().Attributes["driver.harn.version"]
	// Options that the earlier one does not know are not in jobs of before a downgrade.
	egress := a.find().Attributes["driver.harn.egress"] == "true"
	old := a.startKinds(t, "earlier", address, egress)
	versioned := a.recordsVersion(t)
	ending := func(u *upgraded) bool { return u.own }

	a.change(t, binary("nomad-driver-harn"), func() {
		for _, u := range old {
			if u.own {
				release(t, a, u.job)
				eventually(t, "it has not ended", func() bool { return len(supervisors(u.job)) == 0 })
			}
		}
	})
	for _, u := range old {
		if !u.own {
			u.check(t, "upgraded", address)
		} else if got := u.untilDead().exited(); got != u.ends {
			t.Errorf("%s ended while there was no plugin: %q, expected %q\n%s", *u.ID, got, u.ends, u.events())
		}
	}
	old = slices.DeleteFunc(old, ending)
	// What the kernel does to a task of the earlier one is counted as well.
	for _, u := range old {
		if u.name == "memory" {
			if err := a.Allocations().Signal(u.alloc, nil, "t", "SIGUSR2"); err != nil {
				t.Error(err)
			}
			u.untilLogged("went on")
		}
	}
	ours := a.startKinds(t, "this", address, egress, "plain", "egress", "exits-7")

	// Back: either nothing has changed in what is kept, and the earlier plugin has all
	// tasks again, or it is refused and nothing happens to them.
	all := slices.Concat(old, ours)
	a.leave(t)
	if a.install(t, earlierPlugin); !versioned {
		t.Logf("version %s has recorded no version: it cannot know the tasks of a later one, and nothing is promised", earlier)
	} else if a.refused(t) {
		t.Logf("version %s refuses to start where this one has started tasks", earlier)
	} else {
		t.Logf("version %s has the tasks of this one", earlier)
		for _, u := range all {
			u.untilRestored()
			if now := supervisors(u.job); !slices.Equal(now, u.first) {
				t.Errorf("downgraded: %s: supervisor %v, and it was %v\n%s", *u.ID, now, u.first, u.events())
			}
		}
		a.leave(t)
	}
	a.lives(t, all, "downgraded")

	// Up to a version that writes other records, and back, which is refused.
	a.install(t, nextPlugin)
	a.start(t)
	for _, u := range all {
		if !u.own {
			u.check(t, "in the next version", address)
		}
	}
	next := a.startKinds(t, "next", address, true, "plain", "egress", "exits-7")
	all = slices.Concat(all, next)
	a.leave(t)
	a.install(t, binary("nomad-driver-harn"))
	if !a.refused(t) {
		t.Fatal("an agent starts with a plugin that does not know the records of a running task")
	}
	a.lives(t, all, "refused")
	a.install(t, nextPlugin)
	a.start(t)
	for _, u := range all {
		if !u.own {
			u.check(t, "back in the next version", address)
		}
	}
	stopped(t, all, "in the end")
	for _, u := range all {
		if want := u.name == "memory"; u.oomKilled() != want {
			t.Errorf("%s: killed for want of memory: %v", *u.ID, !want)
		}
	}
}

// recordsVersion reports whether the plugin says in a task's records of which version they
// are. The first did not.
func (a *client) recordsVersion(t *testing.T) bool {
	t.Helper()
	records, err := filepath.Glob(a.dir + "/state/*/owner")
	if err != nil || len(records) == 0 {
		t.Fatalf("no records: %v", err)
	}
	owner, err := os.ReadFile(records[0])
	if err != nil {
		t.Fatal(err)
	}
	return strings.Contains(string(owner), `"Version":`)
}

// refused starts the agent and reports whether it ends, since the plugin does not know the
// version of the tasks' records. If not, the agent runs.
func (a *client) refused(t *testing.T) bool {
	t.Helper()
	before, err := os.ReadFile(a.log())
	if err != nil {
		t.Fatal(err)
	}
	a.launch(t)
	began := time.Now()
	ended := false
	eventually(t, "the agent neither starts nor ends", func() bool {
		select {
		case <-a.ended:
			ended = true
			return true
		default:
		}
		node := a.find()
		return node != nil && node.Status == "ready" && node.Drivers["harn"] != nil && node.Drivers["harn"].Detected && node.Drivers["harn"].UpdateTime.After(began)
	})
	if !ended {
		return false
	}
	a.cmd = nil
	after, err := os.ReadFile(a.log())
	if err != nil {
		t.Fatal(err)
	}
	said := string(after[len(before):])
	for _, want := range []string{"tasks of a newer version of this plugin, which go on", "install the newer one again", a.dir + "/state/"} {
		if !strings.Contains(said, want) {
			t.Errorf("the agent does not say %q when it ends:\n%s", want, said)
		}
	}
	return true
}

// lives checks that tasks run, without an agent.
func (a *client) lives(t *testing.T, tasks []*upgraded, when string) {
	t.Helper()
	for _, u := range tasks {
		if now := supervisors(u.job); !slices.Equal(now, u.first) {
			t.Errorf("%s: %s: supervisor %v, and it was %v", when, *u.ID, now, u.first)
		}
		found := false
		for _, p := range kerneltest.Processes() {
			found = found || slices.Contains(u.first, p.Parent())
		}
		if !found {
			t.Errorf("%s: %s: nothing of it runs", when, *u.ID)
		}
	}
	if left, err := filepath.Glob(a.dir + "/state/*/supervisor"); err != nil || len(left) < len(tasks) {
		t.Errorf("%s: %d tasks have records %q", when, len(tasks), left)
	}
}
