// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/nomad/api"

	"github.com/burin-labs/nomad-driver-harn/landlock"
)

func TestNodeAttributes(t *testing.T) {
	t.Parallel()
	a := shared.client
	node := a.find()
	abi, err := landlock.Detect()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"driver.harn":                           "1",
		"driver.harn.landlock.abi":              strconv.Itoa(int(abi)),
		"driver.harn.landlock.fs":               "true",
		"driver.harn.landlock.net":              strconv.FormatBool(abi >= 4),
		"driver.harn.landlock.ioctl_dev":        strconv.FormatBool(abi >= 5),
		"driver.harn.landlock.scope":            strconv.FormatBool(abi >= 6),
		"driver.harn.landlock.audit":            strconv.FormatBool(abi >= 7),
		"driver.harn.landlock.unix":             strconv.FormatBool(abi >= 9),
		"driver.harn.landlock.udp":              strconv.FormatBool(abi >= 10),
		"driver.harn.seccomp":                   "true",
		"driver.harn.cgroups":                   node.Attributes["os.cgroups.version"],
		"driver.harn.profiles":                  "worktree,os_hardened",
		"driver.harn.fallback":                  "enforce",
		"driver.harn.ceiling.profile":           "worktree",
		"driver.harn.ceiling.side_effect_level": "none set",
	} {
		if got := node.Attributes[name]; got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if node.Attributes["driver.harn.version"] == "" {
		t.Error("no version")
	}
	if d := node.Drivers["harn"]; !d.Healthy || d.HealthDescription != "Healthy" {
		t.Errorf("health %+v", d)
	}
}

func TestPlacementByABI(t *testing.T) {
	t.Parallel()
	a := shared.client
	constraint := func(least int) string {
		return fmt.Sprintf(`
      constraint {
        attribute = "$${attr.driver.harn.landlock.abi}"
        operator  = ">="
        value     = "%d"
      }`, least)
	}
	hcl := func(name string, least int) string {
		return strings.ReplaceAll(batch(name, script("echo placed", "")+constraint(least)), "$${attr", "${attr")
	}
	a.run(t, hcl("abi-1", 1)).wantLogs("stdout", "placed")

	j := a.submit(t, hcl("abi-1000", 1000))
	var eval *api.Evaluation
	eventually(t, "the job is neither placed nor refused", func() bool {
		evals, _, err := a.Jobs().Evaluations(*j.ID, nil)
		for _, e := range evals {
			if err == nil && e.Status == "complete" && len(e.FailedTGAllocs) > 0 {
				eval = e
			}
		}
		return eval != nil
	})
	filtered := eval.FailedTGAllocs["g"].ConstraintFiltered
	if len(filtered) != 1 || j.look() != nil {
		t.Errorf("filtered %v, allocation %v", filtered, j.alloc)
	}
}

func TestExitCodes(t *testing.T) {
	t.Parallel()
	a := shared.client
	for name, tc := range map[string]struct {
		script, want string
		failed       bool
	}{
		"exit-0":      {"exit 0", "Exit Code: 0", false},
		"exit-7":      {"exit 7", "Exit Code: 7", true},
		"exit-signal": {"kill -TERM $$", "Exit Code: 143, Signal: 15", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := a.run(t, batch(name, script("echo to stdout; echo to stderr >&2; "+tc.script, "")))
			if got := j.exited(); !strings.HasPrefix(got, tc.want) {
				t.Errorf("%q, want %q\n%s", got, tc.want, j.events())
			}
			if failed := j.alloc.TaskStates["t"].Failed; failed != tc.failed {
				t.Errorf("failed: %v", failed)
			}
			if out, err := j.logs("stdout"), j.logs("stderr"); out != "to stdout\n" || err != "to stderr\n" {
				t.Errorf("stdout %q, stderr %q", out, err)
			}
			if got := j.event("Driver"); !strings.HasPrefix(got, "Confined: profile worktree, network ") {
				t.Errorf("event %q", got)
			}
		})
	}
}

func TestEnvironmentAndDirectories(t *testing.T) {
	t.Parallel()
	a := shared.client
	files := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintln(w, "from the artifact")
	}))
	defer files.Close()
	j := a.run(t, batch("environment", script(`
		echo "greeting=$GREETING empty=[$EMPTY] secret=[$HARN_E2E_SECRET]"
		echo "user=$USER home=$HOME tmp=$TMPDIR path=$PATH"
		echo "pwd=$(pwd) task=$NOMAD_TASK_DIR"
		cat "$NOMAD_TASK_DIR/rendered"; cat local/artifact/file; cat "$NOMAD_SECRETS_DIR/key"
		echo shared > "$NOMAD_ALLOC_DIR/data/shared" && cat alloc/data/shared
		echo tmp > /tmp/file && cat tmp/file
		mktemp
		ls -A "$NOMAD_ALLOC_DIR/logs" > /dev/null && echo logs are readable
		rm -f "$NOMAD_ALLOC_DIR"/logs/* || echo logs are protected
		id -u
	`, "")+fmt.Sprintf(`
      env {
        GREETING = "hello"
        EMPTY    = ""
      }
      template {
        destination = "local/rendered"
        data        = "from the template\n"
      }
      template {
        destination = "secrets/key"
        data        = "from the secrets\n"
      }
      artifact {
        source      = "%s/file"
        destination = "local/artifact"
      }`, files.URL)))
	j.wantLogs("stdout",
		"greeting=hello empty=[] secret=[]\n",
		"home="+a.dir+"/mounts/"+j.alloc.ID+"-t tmp=/tmp path="+os.Getenv("PATH")+"\n", // the agent has it from here
		"pwd="+a.dir+"/mounts/"+j.alloc.ID+"-t task="+a.dir+"/mounts/"+j.alloc.ID+"-t/local",
		"from the template\nfrom the artifact\nfrom the secrets\nshared\ntmp\n/tmp/",
		"logs are readable\nlogs are protected\n",
	)
	// A dynamic workload user, which no other task has.
	lines := strings.Fields(j.logs("stdout"))
	if uid, err := strconv.Atoi(lines[len(lines)-1]); err != nil || uid < 80000 {
		t.Errorf("runs as %s", lines[len(lines)-1])
	}
}

// What a task sees of the file system is what it may use; of the rest, not
// even names.
func TestView(t *testing.T) {
	t.Parallel()
	a := shared.client
	j := a.run(t, batch("view", script(`
		echo "dev: $(ls /dev | tr '\n' ' ')"
		ls /root 2>&1
		for f in /root/.bashrc /var/lib/dpkg /home/x "`+a.dir+`/data" /sys/kernel; do stat $f > /dev/null 2>&1 && echo "visible: $f"; done
		for f in /etc/shadow /proc/kcore /proc/keys /proc/sysrq-trigger; do [ -s $f ] && echo "readable: $f"; done
		echo "processes: $(ls -d /proc/[0-9]* | wc -l)"
		touch /etc/x /usr/x /dev/x /x 2>&1 | grep -v -e 'Read-only file system' -e 'Permission denied'
		grep -c . /proc/self/mounts
		nproc > /dev/null && echo nproc
		echo shared > /dev/shm/file && cat /dev/shm/file
		tty < /dev/null`, "")))
	j.wantLogs("stdout",
		"dev: fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero \n",
		"ls: cannot open directory '/root': Permission denied\nprocesses: ",
		"nproc\nshared\nnot a tty\n")
	if logs := j.logs("stdout"); strings.Contains(logs, "visible: ") || strings.Contains(logs, "readable: ") {
		t.Errorf("got\n%s", logs)
	}
	// Unmounting on the host does not wait for tasks: they hold none of its mounts.
	if logs := j.logs("stdout"); strings.Contains(logs, "touch:") {
		t.Errorf("got\n%s", logs)
	}
}

func TestStop(t *testing.T) {
	t.Parallel()
	a := shared.client
	for name, tc := range map[string]struct{ script, task, want string }{
		"stop-default":     {"trap 'echo got TERM; exit 3' TERM", "", "Exit Code: 3"},
		"stop-kill-signal": {"trap 'echo got USR2; exit 4' USR2", `kill_signal = "SIGUSR2"`, "Exit Code: 4"},
		"stop-timeout":     {"trap '' TERM", `kill_timeout = "1s"`, "Exit Code: 137, Signal: 9"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// A grandchild in a session of its own, with a name to look for.
			j := a.submit(t, batch(name, script(tc.script+`
				setsid bash -c 'exec -a child-of-`+name+` sleep 1000' &
				echo ready
				while :; do sleep 0.05; done`, "")+tc.task)).untilRunning().untilLogged("ready")
			eventually(t, "no grandchild", func() bool { return len(running("child-of-"+name)) == 1 })
			if _, _, err := a.Jobs().Deregister(*j.ID, false, nil); err != nil {
				t.Fatal(err)
			}
			j.untilDead()
			if got := j.exited(); !strings.HasPrefix(got, tc.want) {
				t.Errorf("%q, want %q\n%s", got, tc.want, j.events())
			}
			if left := running("child-of-" + name); len(left) > 0 {
				t.Errorf("left running: %v", left)
			}
		})
	}
}

func TestRestart(t *testing.T) {
	t.Parallel()
	a := shared.client
	j := a.submit(t, batch("restart", script(`echo run >> local/runs; wc -l < local/runs; echo ready; while :; do sleep 0.05; done`, ""))).
		untilRunning().untilLogged("1\nready")
	if err := a.Allocations().Restart(j.alloc, "t", nil); err != nil {
		t.Fatal(err)
	}
	j.untilLogged("2\nready")
	j.until("restarted", func(s *api.TaskState) bool { return s.Restarts == 1 && s.State == "running" })

	// By the restart policy.
	hcl := strings.Replace(batch("restart-policy", script(`echo run >> local/runs; [ $(wc -l < local/runs) = 3 ]`, "")),
		"attempts = 0\n      mode     = \"fail\"", "attempts = 5\n interval = \"10m\"\n delay = \"0s\"\n mode     = \"fail\"", 1)
	j = a.run(t, hcl)
	if state := j.alloc.TaskStates["t"]; state.Restarts != 2 || state.Failed {
		t.Errorf("restarts %d, failed %v\n%s", state.Restarts, state.Failed, j.events())
	}
}

func TestSignal(t *testing.T) {
	t.Parallel()
	a := shared.client
	j := a.submit(t, batch("signal", script(`trap 'echo got HUP' HUP; echo ready; while :; do sleep 0.05; done`, ""))).
		untilRunning().untilLogged("ready")
	for _, name := range []string{"SIGHUP", "HUP"} {
		if err := a.Allocations().Signal(j.alloc, nil, "t", name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		j.untilLogged("got HUP")
	}
	if err := a.Allocations().Signal(j.alloc, nil, "t", "SIGFOO"); err == nil || !strings.Contains(err.Error(), "SIGFOO") {
		t.Errorf("unknown signal: %v", err)
	}
}

func TestExec(t *testing.T) {
	t.Parallel()
	a := shared.client
	j := a.submit(t, batch("exec", script("echo ready; while :; do sleep 0.05; done", `
        capability_policy {
          side_effect_level = "process_exec"
        }`)+"env {\n GREETING = \"hello\"\n}\n")).untilRunning().untilLogged("ready")

	out, errs, code := j.exec(false, "", "/bin/sh", "-c", "echo $GREETING; echo oops >&2; exit 9")
	if out != "hello\n" || errs != "oops\n" || code != 9 {
		t.Errorf("%q %q %d", out, errs, code)
	}
	if out, _, code = j.exec(false, "line 1\nline 2\n", "cat"); out != "line 1\nline 2\n" || code != 0 {
		t.Errorf("stdin: %q %d", out, code)
	}
	if out, _, code = j.exec(true, "", "/bin/bash", "-c", "tty > /dev/null && stty size; exit 5"); out != "40 100\r\n" || code != 5 {
		t.Errorf("tty: %q %d", out, code)
	}
	// As confined as the task: what the task cannot, exec cannot.
	_, errs, code = j.exec(false, "", "bash", "-c", "echo x > /dev/tcp/127.0.0.1/80")
	if code == 0 || !strings.Contains(errs, "Operation not permitted") {
		t.Errorf("network: %q %d", errs, code)
	}
	_, errs, code = j.exec(false, "", "ls", "/root")
	if code == 0 || !strings.Contains(errs, "Permission denied") {
		t.Errorf("/root: %q %d", errs, code)
	}
	// And what the task can, exec can.
	if out, _, code = j.exec(false, "", "sh", "-c", "echo x > local/f && cat local/f && kill -0 "+strconv.Itoa(2)+"; id -u"); code != 0 || !strings.HasPrefix(out, "x\n8") {
		t.Errorf("workspace: %q %d", out, code)
	}
	// What does not run says why, and by the exit code of shells.
	for command, want := range map[string]int{"no-such-program-with-a-name-of-some-length": 127, "/etc/passwd": 126} {
		if _, errs, code = j.exec(false, "", command); code != want || !strings.Contains(errs, command) {
			t.Errorf("%s: %q %d, want %d", command, errs, code, want)
		}
		if out, _, code = j.exec(true, "", command); code != want || !strings.Contains(out, command) {
			t.Errorf("%s on a terminal: %q %d, want %d", command, out, code, want)
		}
	}
	// A session sees the task.
	if out, errs, code = j.exec(false, "", "ps", "ax"); code != 0 || !strings.Contains(out, "echo ready") {
		t.Errorf("ps: %q %q %d", out, errs, code)
	}
	// What it leaves running does not hold it.
	if out, _, code = j.exec(false, "", "sh", "-c", "setsid -f sleep 300; echo done"); out != "done\n" || code != 0 {
		t.Errorf("left running: %q %d", out, code)
	}
	if _, err := os.Stat(a.dir); err != nil {
		t.Fatal(err)
	}
}

func TestScriptCheckAndStats(t *testing.T) {
	t.Parallel()
	a := shared.client
	j := a.submit(t, batch("stats", script("a=$(head -c 20000000 /dev/zero | tr '\\0' x); echo ready; while :; do :; done", ""))).
		untilRunning().untilLogged("ready")
	var usage *api.AllocResourceUsage
	defer func() {
		if t.Failed() {
			t.Logf("last: %+v", usage)
		}
	}()
	eventually(t, "no stats", func() bool {
		var err error
		usage, err = a.Allocations().Stats(j.alloc, nil)
		return err == nil && usage.ResourceUsage != nil && usage.ResourceUsage.CpuStats.Percent > 1 &&
			usage.ResourceUsage.MemoryStats.RSS > 15<<20 &&
			len(usage.Tasks["t"].Pids) == 1 // an older sample has head and tr as well
	})
	if usage.ResourceUsage.CpuStats.TotalTicks <= 0 {
		t.Errorf("cpu: %+v", usage.ResourceUsage.CpuStats)
	}
}

// What is wrong with a job is one event that names field and value, and the
// task is not started again.
func TestBadInput(t *testing.T) {
	t.Parallel()
	a := shared.client
	command := func(policy string) string {
		return "config {\n command = \"/bin/true\"\n capability_policy {\n" + policy + "\n}\n}"
	}
	for name, tc := range map[string]struct {
		task string
		want []string
	}{
		"profile":        {command(`sandbox_profile = "worktre"`), []string{"sandbox_profile", `"worktre"`, `did you mean "worktree"?`}},
		"wasi":           {command(`sandbox_profile = "wasi"`), []string{"sandbox_profile", `"wasi"`}},
		"level":          {command(`side_effect_level = "netwrk"`), []string{"side_effect_level", `"netwrk"`, `did you mean "network"?`}},
		"operation":      {command("capabilities {\n workspace = [\"raed_text\"]\n}"), []string{"capabilities.workspace[0]", `"raed_text"`, `did you mean "read_text"?`}},
		"field":          {command(`sandbox_profil = "worktree"`), []string{"sandbox_profil", "sandbox_profile"}},
		"option":         {"config {\n command = \"/bin/true\"\n argz = []\n}", []string{"argz", "args"}},
		"missing-root":   {command(`workspace_roots = ["local/none"]`), []string{"workspace_roots[0]", `"local/none"`, "does not exist"}},
		"root":           {command(`read_only_roots = ["/"]`), []string{"read_only_roots[0]", `"/"`, "whole file system"}},
		"root-leaves":    {command(`workspace_roots = ["../x"]`), []string{"workspace_roots[0]", `"../x"`, "leaves the task directory"}},
		"null-root":      {command(`workspace_roots = [null]`), []string{"workspace_roots[0]", "empty path"}},
		"not-found":      {"config {\n command = \"no-such-program\"\n}", []string{"command", `"no-such-program"`, "not found", "PATH"}},
		"not-executable": {"config {\n command = \"/etc/passwd\"\n}", []string{"command", `"/etc/passwd"`, "not executable"}},
		"outside":        {"config {\n command = \"/var/lib/dpkg/info/bash.postinst\"\n}", []string{"command", "outside of every root", `read_only_roots = ["/var/lib/dpkg/info"]`}},
		"empty-command":  {"config {\n command = \"\"\n}", []string{"command", "empty"}},
		"nul":            {"config {\n command = \"/bin/true\"\n args = [\"a\\u0000b\"]\n}", []string{"args[0]", "NUL"}},
		"root-user":      {"user = \"root\"\n" + command(""), []string{"user", `"root"`, "allow_root"}},
		"interpreter":    {"config {\n command = \"local/script\"\n}\ntemplate {\n destination = \"local/script\"\n perms = \"755\"\n data = \"#!/no/such/interpreter\\n\"\n}", []string{"local/script", "interpreter"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			hcl := strings.Replace(batch("bad-"+name, tc.task), "attempts = 0\n      mode     = \"fail\"",
				"attempts = 3\n interval = \"10m\"\n delay = \"0s\"\n mode     = \"fail\"", 1)
			j := a.run(t, hcl)
			var complaints []string
			for _, e := range j.alloc.TaskStates["t"].Events {
				if e.Type == "Driver Failure" || e.Type == "Failed Validation" {
					complaints = append(complaints, e.DisplayMessage)
				}
			}
			if len(complaints) != 1 {
				t.Fatalf("%d events about it, want one:\n%s", len(complaints), j.events())
			}
			for _, want := range tc.want {
				if !strings.Contains(complaints[0], want) {
					t.Errorf("%q does not say %q", complaints[0], want)
				}
			}
			j.wantNotStarted()
		})
	}
}

// What a task writes must not decide what another one, or its own next start,
// may use: here a prestart task puts a symbolic link in the way.
func TestRootBehindALink(t *testing.T) {
	t.Parallel()
	a := shared.client
	for name, tc := range map[string]struct{ target, want string }{
		"dangling": {"nowhere", "does not exist, a symbolic link leads there"},
		"outside":  {"/root", "leaves the task directory by a symbolic link, to /root"},
		"inside":   {"real", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			hcl := strings.Replace(batch("link-"+name, script("echo started; ls -d .", `
        capability_policy {
          workspace_roots = ["alloc/data/link"]
        }`)), `task "t" {`, `
    task "before" {
      driver = "harn"
      lifecycle {
        hook = "prestart"
      }
      config {
        command = "/bin/sh"
        args    = ["-c", "mkdir alloc/data/real; ln -s `+tc.target+` alloc/data/link"]
      }
    }
    task "t" {`, 1)
			j := a.submit(t, hcl)
			j.Job.TaskGroups[0].Tasks[0] = j.Job.TaskGroups[0].Tasks[1]
			j.untilDead()
			if tc.want == "" {
				j.wantLogs("stdout", "started\n.\n")
			} else if got := j.event("Driver Failure"); !strings.Contains(got, "workspace_roots[0]") || !strings.Contains(got, tc.want) {
				t.Errorf("%q does not say %q\n%s", got, tc.want, j.events())
			}
		})
	}
}

// A plugin that is killed finds its tasks again, running or ended.
func TestPluginKilled(t *testing.T) {
	a := newClient(t, shared.server, poolName(t), options{})
	running := a.submit(t, batch("plugin-running", script(`echo start; while [ ! -e local/go ]; do sleep 0.05; done; exit 5`, ""))).
		untilRunning().untilLogged("start")
	ends := a.submit(t, batch("plugin-ends", script(`echo start; while [ ! -e local/go ]; do sleep 0.05; done; exit 6`, ""))).
		untilRunning().untilLogged("start")

	plugin := a.plugin(t)
	release(t, a, ends)
	kill(t, plugin)
	eventually(t, "the plugin was not started again", func() bool { return a.plugin(t) != plugin })
	ends.untilDead()
	if got := ends.exited(); !strings.HasPrefix(got, "Exit Code: 6") {
		t.Errorf("ended meanwhile: %q\n%s", got, ends.events())
	}
	// The running one is the same, and all works: exec, stats, its end.
	if out, _, code := running.exec(false, "", "sh", "-c", "echo done"); out != "done\n" || code != 0 {
		t.Errorf("exec: %q %d", out, code)
	}
	release(t, a, running) // not by the command: it would end with the task
	running.untilDead()
	if got := running.exited(); !strings.HasPrefix(got, "Exit Code: 5") || running.logs("stdout") != "start\n" {
		t.Errorf("running: %q, log %q\n%s", got, running.logs("stdout"), running.events())
	}
}

// release lets a task end: by a file, written from outside.
func release(t *testing.T, a *client, j *job) {
	t.Helper()
	if err := os.WriteFile(fmt.Sprintf("%s/data/alloc/%s/t/local/go", a.dir, j.alloc.ID), nil, 0o644); err != nil {
		t.Fatal(err)
	}
}

// poolName is a node pool for one test.
func poolName(t *testing.T) string {
	return strings.ToLower(strings.NewReplacer("/", "-").Replace(t.Name()))
}

func kill(t *testing.T, pid int) {
	t.Helper()
	p, err := os.FindProcess(pid)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
}

// An agent that is restarted finds its tasks again, running or ended. The plugin ends with
// the agent, and the next one has the options of the next agent.
func TestAgentRestarted(t *testing.T) {
	for name, sig := range map[string]syscall.Signal{"graceful": syscall.SIGINT, "killed": syscall.SIGKILL} {
		t.Run(name, func(t *testing.T) {
			a := newClient(t, shared.server, poolName(t), options{plugin: `denied_users = ["1-2"]`})
			user := func(name string) *job {
				return a.submit(t, batch(name, "user = \"mail\"\n"+script("true", ""))).untilDead()
			}
			if allowed := user("agent-before"); !strings.HasPrefix(allowed.exited(), "Exit Code: 0") {
				t.Errorf("before: %s", allowed.events())
			}
			body := `echo start; while [ ! -e local/go ]; do sleep 0.05; done; exit `
			running := a.submit(t, batch("agent-running", script(body+"5", "")+"env {\n GREETING = \"hello\"\n}")).untilRunning().untilLogged("start")
			ends := a.submit(t, batch("agent-ends", script(body+"6", ""))).untilRunning().untilLogged("start")
			// Until the client has stored what it knows of the tasks.
			time.Sleep(time.Second)
			pid := len(supervisors(running))
			plugin := a.plugin(t)
			a.stop(t, sig)
			eventually(t, "the plugin has not ended with its agent", func() bool { return syscall.Kill(plugin, 0) != nil })
			file := filepath.Join(a.dir, "agent.hcl")
			config, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(strings.Replace(string(config), `["1-2"]`, `["1-99"]`, 1)), 0o644); err != nil {
				t.Fatal(err)
			}
			if got := len(supervisors(running)); got != pid || got == 0 {
				t.Fatalf("%d processes of the task after the agent's end, before: %d", got, pid)
			}
			release(t, a, ends)
			a.start(t)
			running.untilRestored()
			if denied := user("agent-after"); !strings.Contains(denied.events(), "denied_users") {
				t.Errorf("after: %s", denied.events())
			}
			ends.untilDead()
			if got := ends.exited(); !strings.HasPrefix(got, "Exit Code: 6") {
				t.Errorf("ended meanwhile: %q\n%s", got, ends.events())
			}
			if out, _, code := running.exec(false, "", "sh", "-c", "echo $GREETING"); out != "hello\n" || code != 0 {
				t.Errorf("exec: %q %d", out, code)
			}
			release(t, a, running)
			running.untilDead()
			if got := running.exited(); !strings.HasPrefix(got, "Exit Code: 5") || running.logs("stdout") != "start\n" {
				t.Errorf("running: %q, log %q\n%s", got, running.logs("stdout"), running.events())
			}
			if n := running.count("Started"); n != 1 {
				t.Errorf("started %d times\n%s", n, running.events())
			}
		})
	}
}
