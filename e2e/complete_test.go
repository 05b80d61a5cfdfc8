// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/nomad/api"
)

// complete is a client whose operator allows what the default does not, with
// volumes, a device plugin and bridge networks.
var complete = sync.OnceValue(func() *client {
	const plugin = `
    allow_root     = true
    allow_caps     = ["net_bind_service", "chown"]
    allow_host_pid = true
    allow_host_ipc = true
    denied_users   = ["mail", "1-2"]
    pids_limit     = 200`
	c := newClient(shared.owner, shared.server, "complete", options{plugin: plugin, client: `
  cni_path = "/usr/lib/cni"
  host_volume "data" {
    path = "DIR/volume"
  }
  host_volume "fixed" {
    path      = "DIR/fixed"
    read_only = true
  }`, agent: `
plugin "e2e-device" {
}`})
	return c
})

// prepareClient makes what the configuration of complete names.
func prepareClient(t testing.TB, dir string) {
	t.Helper()
	for _, sub := range []string{"volume", "fixed"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(dir, sub), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "fixed", "file"), []byte("fixed\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	device, err := os.ReadFile(binary("e2e-device"))
	if err != nil {
		t.Fatalf("%v: run the tests by \"make e2e\", which builds it", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "plugins", "e2e-device"), device, 0o755); err != nil {
		t.Fatal(err)
	}
}

// cgroupFile reads a file of a task's cgroup, by its name in either version.
func (j *job) cgroupFile(controller, v1, v2 string) string {
	j.t.Helper()
	path := fmt.Sprintf("/sys/fs/cgroup/%s/nomad/%s.t/%s", controller, j.alloc.ID, v1)
	if cgroupsV2 {
		found, _ := filepath.Glob(fmt.Sprintf("/sys/fs/cgroup/nomad.slice/*/%s.t.scope/%s", j.alloc.ID, v2))
		if len(found) != 1 {
			j.t.Fatalf("cgroups: %v", found)
		}
		path = found[0]
	} else if controller == "cpuset" {
		path = fmt.Sprintf("/sys/fs/cgroup/cpuset/nomad/reserve/%s.t/%s", j.alloc.ID, v1)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		j.t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

const idle = `trap 'exit 0' TERM; echo ready; while :; do sleep 0.05; done`

// forks starts 60 processes, and ends those that it could start.
const forks = `
import os, signal
started = []
try:
    for _ in range(60):
        pid = os.fork()
        if pid == 0:
            signal.pause()
        started.append(pid)
    print("all")
except OSError as e:
    error = e.strerror
    for pid in started:
        os.kill(pid, signal.SIGKILL)
    print(len(started), error)
`

func TestResources(t *testing.T) {
	t.Parallel()
	a := complete()
	hcl := strings.Replace(batch("resources", script(`
		ulimit -n; ulimit -Hn; ulimit -c; nice; cat /proc/self/oom_score_adj
		cat /sys/fs/cgroup/memory/nomad/$NOMAD_ALLOC_ID.t/memory.limit_in_bytes /sys/fs/cgroup/nomad.slice/share.slice/$NOMAD_ALLOC_ID.t.scope/memory.max 2>/dev/null
		`+idle, `
        cpu_hard_limit = true
        pids_limit     = 50
        oom_score_adj  = 500
        nice           = 5
        ulimit {
          nofile = "128:256"
          core   = "0"
        }`)), "cpu    = 50\n        memory = 128", "cpu = 400\n memory = 64\n memory_max = 96", 1)
	j := a.submit(t, hcl).untilRunning().untilLogged("ready")
	j.wantLogs("stdout", "128\n256\n0\n5\n500\n")
	memory := strconv.Itoa(96 << 20)
	j.wantLogs("stdout", memory)
	for _, tc := range []struct{ controller, v1, v2, want string }{
		{"memory", "memory.limit_in_bytes", "memory.max", memory},
		{"memory", "memory.soft_limit_in_bytes", "memory.low", strconv.Itoa(64 << 20)},
		{"memory", "memory.memsw.limit_in_bytes", "memory.swap.max", either(memory, "0")},
		{"pids", "pids.max", "pids.max", "50"},
		{"cpu", "cpu.shares", "cpu.weight", either("400", j.cgroupFile("cpu", "cpu.shares", "cpu.weight"))},
	} {
		if got := j.cgroupFile(tc.controller, tc.v1, tc.v2); got != tc.want {
			t.Errorf("%s: %s, want %s", either(tc.v1, tc.v2), got, tc.want)
		}
	}
	// 400 MHz of this node, as a quota of each 100 ms.
	node := a.find()
	share := 400 / float64(node.NodeResources.Cpu.CpuShares) * float64(node.NodeResources.Cpu.TotalCpuCores)
	quota := strings.Fields(j.cgroupFile("cpu", "cpu.cfs_quota_us", "cpu.max"))[0]
	if got, err := strconv.ParseFloat(quota, 64); err != nil || got < share*90_000 || got > share*110_000+1 {
		t.Errorf("quota %s us, want %.0f", quota, share*100_000)
	}
	// Supervisors do not count against tasks.
	procs := strings.Fields(j.cgroupFile("freezer", "cgroup.procs", "cgroup.procs"))
	for _, pid := range supervisors(j) {
		if len(procs) == 0 || slices.Contains(procs, strconv.Itoa(pid)) {
			t.Errorf("processes %v, the supervisor is %d", procs, pid)
		}
	}
	// Not by a shell, which tries again for a quarter of a minute: the task's own
	// would end then.
	if out, errs, _ := j.exec(false, "", "python3", "-c", forks); !strings.HasSuffix(out, " Resource temporarily unavailable\n") {
		t.Errorf("60 processes under a limit of 50: %q, %q", out, errs)
	}
	// A command of exec has the limits of the task.
	if out, _, _ := j.exec(false, "", "bash", "-c", "ulimit -n; nice; cat /proc/self/oom_score_adj"); out != "128\n5\n500\n" {
		t.Errorf("exec: %q", out)
	}
}

// Not in parallel: another client on this machine would take the cores back.
func TestCores(t *testing.T) {
	hcl := strings.Replace(batch("cores", script("nproc; "+idle, "")), "cpu    = 50", "cores = 1", 1)
	j := complete().submit(t, hcl).untilRunning().untilLogged("ready")
	j.wantLogs("stdout", "1\nready\n")
	if cpus := j.cgroupFile("cpuset", "cpuset.cpus", "cpuset.cpus"); len(cpus) != 1 {
		t.Errorf("cpuset %q", cpus)
	}
}

func TestDefaultPidsLimit(t *testing.T) {
	t.Parallel()
	j := shared.client.submit(t, batch("pids", script(idle, ""))).untilRunning()
	if got := j.cgroupFile("pids", "pids.max", "pids.max"); got != "4096" {
		t.Errorf("pids.max is %s", got)
	}
}

func TestOutOfMemory(t *testing.T) {
	t.Parallel()
	a := complete()
	limited := func(name, text string) *job {
		return a.run(t, strings.Replace(batch(name, script(text, "")), "memory = 128", "memory = 32", 1))
	}
	j := limited("oom", `exec python3 -c "b'x' * (200 << 20)"`)
	if got := j.exited(); !strings.HasPrefix(got, "Exit Code: 137, Signal: 9") || !j.oomKilled() {
		t.Errorf("%q\n%s", got, j.events())
	}
	if !strings.Contains(j.events(), "Out of memory: the kernel has killed a process of the task; the limit is 32 MiB, the task used up to 32 MiB") {
		t.Errorf("events:\n%s", j.events())
	}
	// Also if it was not the first process, and the task went on.
	j = limited("oom-child", `python3 -c "b'x' * (200 << 20)"; exit 3`)
	if got := j.exited(); !strings.HasPrefix(got, "Exit Code: 3") || !j.oomKilled() || !strings.Contains(j.events(), "Out of memory") {
		t.Errorf("%q\n%s", got, j.events())
	}
	// And not for a task that just ends, in the same cgroup or by the same signal.
	j = limited("no-oom", "kill -9 $$")
	if j.oomKilled() || strings.Contains(j.events(), "Out of memory") {
		t.Errorf("%q\n%s", j.exited(), j.events())
	}
}

// What Nomad shows agrees with what the kernel counts.
func TestStatsAgree(t *testing.T) {
	t.Parallel()
	a := complete()
	j := a.submit(t, batch("stats-agree", script(`a=$(head -c 20000000 /dev/zero | tr '\0' x); `+idle, ""))).untilRunning().untilLogged("ready")
	near := func(what string, got, want uint64) bool {
		if got < want*8/10 || got > want*12/10 {
			t.Logf("%s: %d, the kernel has %d", what, got, want)
			return false
		}
		return true
	}
	number := func(text string) uint64 {
		n, _ := strconv.ParseUint(text, 10, 64)
		return n
	}
	stat := func(name string) uint64 {
		for line := range strings.Lines(j.cgroupFile("memory", "memory.stat", "memory.stat")) {
			if value, ok := strings.CutPrefix(line, name+" "); ok {
				return number(strings.TrimSpace(value))
			}
		}
		return 0
	}
	eventually(t, "Nomad's numbers do not agree with the kernel's", func() bool {
		usage, err := a.Allocations().Stats(j.alloc, nil)
		if err != nil || usage.Tasks["t"] == nil {
			return false
		}
		m := usage.Tasks["t"].ResourceUsage.MemoryStats
		return near("usage", m.Usage, number(j.cgroupFile("memory", "memory.usage_in_bytes", "memory.current"))) &&
			near("rss", m.RSS, stat(either("rss", "anon"))) &&
			near("max usage", m.MaxUsage, number(j.cgroupFile("memory", "memory.max_usage_in_bytes", "memory.peak"))) &&
			m.RSS > 20_000_000
	})
	eventually(t, "the metrics endpoint does not have the task", func() bool {
		response, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/v1/metrics", a.http))
		if err != nil {
			return false
		}
		defer response.Body.Close()
		text, _ := io.ReadAll(response.Body)
		return strings.Contains(string(text), "nomad.client.allocs.memory.rss") && strings.Contains(string(text), "stats-agree")
	})
}

func TestVolumes(t *testing.T) {
	t.Parallel()
	a := complete()
	hcl := strings.Replace(batch("volumes", script(`
		echo from the task > /data/file && cat /data/file
		cat /srv/fixed/file; touch /srv/fixed/x || echo fixed is read-only
		echo nested > "$NOMAD_TASK_DIR/volume/nested" && ls /data
		echo ro: $(cat /mnt/read-only/file); touch /mnt/read-only/x || echo read-only
	`, "")+`
      volume_mount {
        volume      = "data"
        destination = "/data"
      }
      volume_mount {
        volume      = "fixed"
        destination = "/srv/fixed"
      }
      volume_mount {
        volume      = "data"
        destination = "local/volume"
      }
      volume_mount {
        volume      = "data"
        destination = "/mnt/read-only"
        read_only   = true
      }`), `task "t" {`, `
    volume "data" {
      type   = "host"
      source = "data"
    }
    volume "fixed" {
      type      = "host"
      source    = "fixed"
      read_only = true
    }
    task "t" {`, 1)
	a.run(t, hcl).wantLogs("stdout", "from the task\nfixed\nfixed is read-only\nfile\nnested\nro: from the task\nread-only\n")
	if text, err := os.ReadFile(a.dir + "/volume/nested"); err != nil || string(text) != "nested\n" {
		t.Errorf("on the host: %q, %v", text, err)
	}
	// A policy that grants reading grants no more on a volume.
	j := a.run(t, strings.Replace(strings.Replace(hcl, `job "volumes"`, `job "volumes-read"`, 1), "config {", `config {
        capability_policy {
          capabilities {
            workspace = ["read_text"]
          }
        }`, 1))
	j.wantLogs("stdout", "fixed\n")
	j.wantLogs("stderr", "/data/file: Permission denied")
	if _, err := os.Stat("/data"); err == nil {
		t.Error("the mount point was made on the host")
	}
	for destination, want := range map[string]string{"/": "whole file system", "/usr": "would hide /usr", "/proc/x": "/proc is the task's own", "/etc/shadow": "masked for every task"} {
		bad := strings.NewReplacer(`"/data"`, strconv.Quote(destination), `job "volumes"`, fmt.Sprintf("job %q", "volume-bad-"+strings.Trim(strings.ReplaceAll(destination, "/", "-"), "-"))).Replace(hcl)
		j := a.run(t, bad)
		if got := j.event("Driver Failure"); !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q\n%s", destination, got, want, j.events())
		}
	}
}

func TestDevice(t *testing.T) {
	t.Parallel()
	hcl := strings.Replace(batch("device", script(`
		head -c 8 $RANDOM_DEVICE | wc -c
		{ echo x > $RANDOM_DEVICE; } 2>&1 | grep -o 'Permission denied'
		python3 -c 'import fcntl, os, struct
f = os.open("/dev/dice", os.O_RDONLY)
print("entropy", struct.unpack("i", fcntl.ioctl(f, 0x80045200, b"1234"))[0] >= 0)
try: fcntl.ioctl(os.open("/dev/null", os.O_RDONLY), 0x80045200, b"1234")
except PermissionError: print("no ioctl elsewhere")
except OSError: print("ioctl elsewhere")'
		cat /opt/dice/manual > /dev/null && echo manual`, "")), "memory = 128", "memory = 128\n device \"harn/random/urandom\" {}", 1)
	complete().run(t, hcl).wantLogs("stdout", "8\nPermission denied\nentropy True\nno ioctl elsewhere\nmanual\n")
}

func TestBridge(t *testing.T) {
	t.Parallel()
	a := complete()
	hcl := strings.Replace(batch("bridge", script(`
		cat /etc/resolv.conf; readlink /proc/self/ns/net
		echo "hello from the bridge" > local/index.html
		exec python3 -m http.server --directory local 8080 2>/dev/null`, "")), `task "t" {`, `
    network {
      mode = "bridge"
      port "http" {
        to = 8080
      }
      dns {
        servers  = ["192.0.2.53"]
        searches = ["example.test"]
        options  = ["ndots:2"]
      }
    }
    task "t" {`, 1)
	j := a.submit(t, hcl).untilRunning().untilLogged("net:[")
	j.wantLogs("stdout", "nameserver 192.0.2.53\nsearch example.test\noptions ndots:2\nnet:[")
	here, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(j.logs("stdout"), here) {
		t.Error("the task is in the host's network namespace")
	}
	network := j.alloc.AllocatedResources.Shared.Networks[0]
	url := fmt.Sprintf("http://%s:%d/", j.alloc.NetworkStatus.Address, 8080)
	if len(network.DynamicPorts) != 1 {
		t.Fatalf("network %+v", network)
	}
	eventually(t, "nothing answers at "+url, func() bool {
		response, err := http.Get(url)
		if err != nil {
			return false
		}
		defer response.Body.Close()
		text, _ := io.ReadAll(response.Body)
		return string(text) == "hello from the bridge\n"
	})
	// A command of exec is in the same namespace.
	if out, _, _ := j.exec(false, "", "readlink", "/proc/self/ns/net"); !strings.Contains(j.logs("stdout"), strings.TrimSpace(out)) {
		t.Errorf("exec is in %q", out)
	}
	// No network is no network, whatever the group has.
	j = a.run(t, strings.NewReplacer(`job "bridge"`, `job "bridge-denied"`, "config {", "config {\n capability_policy {\n side_effect_level = \"none\"\n }\n",
		"exec python3", "grep -c : /proc/net/dev; cat /proc/net/fib_trie | grep -c /32; exit #").Replace(hcl))
	j.wantLogs("stdout", "\n1\n0\n")
}

func TestUsersAndCapabilities(t *testing.T) {
	t.Parallel()
	a := complete()
	a.run(t, batch("user-named", `user = "games"`+script("id -un; id -Gn; echo $USER", ""))).wantLogs("stdout", "games\ngames\ngames\n")

	// Root, with no other capability than NET_BIND_SERVICE: it cannot pass file permissions.
	a.run(t, batch("user-root", `user = "root"`+script("id -u; grep CapEff /proc/self/status; cat /etc/shadow | wc -c; mkdir /usr/x || echo denied", ""))).
		wantLogs("stdout", "0\nCapEff:\t0000000000000400\n0\ndenied\n")

	const bind = `python3 -c 'import socket; socket.create_server(("127.0.0.1", 81)); print("bound")' 2>&1 | tail -n 1; grep -e CapEff -e CapBnd -e CapAmb -e CapInh /proc/self/status`
	a.run(t, batch("cap-default", script(bind, ""))).wantLogs("stdout",
		"bound\nCapInh:\t0000000000000400\nCapEff:\t0000000000000400\nCapBnd:\t0000000000000400\nCapAmb:\t0000000000000400\n")
	a.run(t, batch("cap-drop", script(bind, `cap_drop = ["all"]`))).wantLogs("stdout", "Permission denied (", "\nCapInh:\t0000000000000000\n")
	a.run(t, batch("cap-add", script(`touch local/f && chown 12345 local/f && stat -c %u local/f`, `cap_add = ["CAP_CHOWN"]`))).wantLogs("stdout", "12345\n")
	shared.client.run(t, batch("cap-none", script(bind, ""))).wantLogs("stdout", "Permission denied (", "\nCapInh:\t0000000000000000\n")
}

func TestHostNamespaces(t *testing.T) {
	t.Parallel()
	a := complete()
	j := a.submit(t, batch("host-pid", script(`
		ls -d /proc/[0-9]* | wc -l; readlink /proc/self/ns/pid
		setsid bash -c 'exec -a child-of-host-pid sleep 1000' &
		(setsid bash -c 'exec -a orphan-of-host-pid sleep 1000' &)
		`+idle, `pid_mode = "host"`))).untilRunning().untilLogged("ready")
	here, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		t.Fatal(err)
	}
	j.wantLogs("stdout", here)
	if out, _, code := j.exec(false, "", "readlink", "/proc/self/ns/pid"); strings.TrimSpace(out) != here || code != 0 {
		t.Errorf("exec: %q %d", out, code)
	}
	if _, _, err := a.Jobs().Deregister(*j.ID, false, nil); err != nil {
		t.Fatal(err)
	}
	j.untilDead()
	eventually(t, "processes of the task are left", func() bool {
		return len(running("child-of-host-pid"))+len(running("orphan-of-host-pid"))+len(supervisors(j)) == 0
	})
	// The end of a supervisor is the end of its task, here as well.
	j = a.submit(t, batch("host-pid-killed", script("setsid bash -c 'exec -a child-of-killed sleep 1000' & "+idle, `pid_mode = "host"`))).
		untilRunning().untilLogged("ready")
	eventually(t, "no child", func() bool { return len(running("child-of-killed")) == 1 })
	kill(t, supervisors(j)[0])
	j.untilDead()
	if !strings.Contains(j.exited(), "supervisor ended without recording") {
		t.Errorf("%q", j.exited())
	}
	eventually(t, "a process of the task is left", func() bool { return len(running("child-of-killed")) == 0 })

	here, err = os.Readlink("/proc/self/ns/ipc")
	if err != nil {
		t.Fatal(err)
	}
	a.run(t, batch("host-ipc", script("readlink /proc/self/ns/ipc", `ipc_mode = "host"`))).wantLogs("stdout", here)
	if logs := a.run(t, batch("private-ipc", script("readlink /proc/self/ns/ipc", ""))).logs("stdout"); strings.Contains(logs, here) {
		t.Error("the task is in the host's IPC namespace")
	}
}

func TestManySessions(t *testing.T) {
	t.Parallel()
	j := complete().submit(t, batch("sessions", script(idle, ""))).untilRunning().untilLogged("ready")
	var sessions sync.WaitGroup
	for i := range 20 {
		sessions.Go(func() {
			if out, _, code := j.exec(i%2 == 0, "", "sh", "-c", fmt.Sprintf("sleep 0.2; echo %d; exit %d", i, i)); strings.TrimSpace(out) != strconv.Itoa(i) || code != i {
				t.Errorf("session %d: %q %d", i, out, code)
			}
		})
	}
	sessions.Wait()
	// A lot in and out, and an end of input that is not one of output.
	big := strings.Repeat("0123456789abcde\n", 1<<16)
	if out, _, code := j.exec(false, big, "cat"); out != big || code != 0 {
		t.Errorf("%d bytes of %d, %d", len(out), len(big), code)
	}
	if out, _, code := j.exec(false, "in\n", "sh", "-c", "cat; sleep 0.2; echo out"); out != "in\nout\n" || code != 0 {
		t.Errorf("%q %d", out, code)
	}
	if _, _, code := j.exec(false, "", "sh", "-c", "kill -TERM $$"); code != 143 {
		t.Errorf("signal: %d", code)
	}
	// A signal from the terminal reaches the command.
	if out, code := j.interrupt("sh", "-c", "trap 'echo got INT; exit 7' INT; echo ready; while :; do sleep 0.05; done"); !strings.Contains(out, "got INT") || code != 7 {
		t.Errorf("interrupt: %q %d", out, code)
	}
	if out, _, _ := j.exec(true, "", "tty"); strings.TrimSpace(out) != "/dev/pts/0" && !strings.HasPrefix(out, "/dev/pts/") {
		t.Errorf("terminal: %q", out)
	}
}

func TestTemplateScript(t *testing.T) {
	t.Parallel()
	a := complete()
	variable := &api.Variable{Path: "nomad/jobs/template-script", Items: map[string]string{"word": "one"}}
	if _, _, err := a.Variables().Create(variable, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = a.Variables().Delete(variable.Path, nil) })
	j := a.submit(t, batch("template-script", script(`
		trap 'echo reloaded $(cat local/word)' HUP; echo $$ > local/pid
		echo started $(cat local/word); while :; do sleep 0.05; done`, "")+`
      template {
        destination   = "local/word"
        data          = "{{ with nomadVar \"nomad/jobs/template-script\" }}{{ .word }}{{ end }}"
        change_mode   = "script"
        change_script {
          command       = "/bin/sh"
          args          = ["-c", "kill -HUP $(cat local/pid)"]
          timeout       = "10s"
          fail_on_error = true
        }
      }`)).untilRunning().untilLogged("started one")
	variable.Items["word"] = "two"
	if _, _, err := a.Variables().Update(variable, nil); err != nil {
		t.Fatal(err)
	}
	j.untilLogged("reloaded two")
}

func TestLifecycleHooks(t *testing.T) {
	t.Parallel()
	a := complete()
	task := func(name, lifecycle, text string) string {
		return fmt.Sprintf(`
    task %q {
      driver = "harn"
      %s
      resources {
        cpu    = 50
        memory = 64
      }
      %s
    }`, name, lifecycle, script("touch alloc/data/"+name+"; "+text, ""))
	}
	hcl := strings.Replace(batch("hooks", script("touch alloc/data/main; while [ ! -e alloc/data/after-start ]; do sleep 0.05; done", "")), `task "t" {`,
		task("before", "lifecycle {\n hook = \"prestart\"\n}", "")+
			task("beside", "lifecycle {\n hook = \"prestart\"\n sidecar = true\n}", "while :; do sleep 0.05; done")+
			task("after-start", "lifecycle {\n hook = \"poststart\"\n}", "")+
			task("after", "lifecycle {\n hook = \"poststop\"\n}", "ls -tr alloc/data")+`
    task "t" {`, 1)
	j := a.submit(t, hcl)
	tasks := j.Job.TaskGroups[0].Tasks
	j.Job.TaskGroups[0].Tasks[0] = tasks[slices.IndexFunc(tasks, func(task *api.Task) bool { return task.Name == "after" })]
	j.untilDead()
	// Files of their own: each task has another user.
	lines := strings.Fields(j.logs("stdout"))
	if len(lines) != 5 || lines[4] != "after" || !slices.Contains(lines[:2], "before") || slices.Index(lines, "main") > slices.Index(lines, "after-start") {
		t.Errorf("order %q\n%s", lines, j.events())
	}
	eventually(t, "the sidecar has not ended", func() bool {
		return j.look().TaskStates["beside"].State == "dead"
	})
}

func TestLogs(t *testing.T) {
	t.Parallel()
	a := complete()
	j := a.run(t, batch("log-rotation", script("seq 1 600000", "")+`
      logs {
        max_files     = 2
        max_file_size = 1
      }`))
	files, _, err := a.AllocFS().List(j.alloc, "alloc/logs", nil)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		if strings.HasPrefix(f.Name, "t.stdout.") {
			names = append(names, f.Name)
			if f.Size > 1<<20 {
				t.Errorf("%s has %d bytes", f.Name, f.Size)
			}
		}
	}
	if len(names) != 2 || !strings.HasSuffix(j.logs("stdout"), "\n600000\n") {
		t.Errorf("files %v", names)
	}
	j = a.run(t, batch("logs-disabled", script("echo unheard; echo x > /dev/stdout; echo y >&2", "")+`
      logs {
        disabled = true
      }`))
	if got := j.exited(); got != "Exit Code: 0" {
		t.Errorf("%q\n%s", got, j.events())
	}
}

func TestShutdownDelay(t *testing.T) {
	t.Parallel()
	a := complete()
	j := a.submit(t, batch("shutdown-delay", script("trap 'date +%s.%N; exit 0' TERM; echo ready; while :; do sleep 0.01; done", "")+`
      shutdown_delay = "1s"`)).untilRunning().untilLogged("ready")
	if _, _, err := a.Jobs().Deregister(*j.ID, false, nil); err != nil {
		t.Fatal(err)
	}
	j.untilDead()
	if !strings.Contains(j.events(), "Waiting for shutdown delay") && !strings.Contains(j.events(), "shutdown_delay") {
		t.Errorf("events:\n%s", j.events())
	}
	if got := j.exited(); got != "Exit Code: 0" {
		t.Errorf("%q", got)
	}
}

// More of what is wrong with a job: options that are out of range, or that the
// operator does not allow.
func TestBadOptions(t *testing.T) {
	t.Parallel()
	a := complete()
	option := func(text string) string { return "config {\n command = \"/bin/true\"\n" + text + "\n}" }
	mounted := func(destination string) string {
		return option("") + fmt.Sprintf("\nvolume_mount {\n volume = \"data\"\n destination = %q\n}", destination)
	}
	withVolume := strings.NewReplacer("task \"t\" {", "volume \"data\" {\n type = \"host\"\n source = \"data\"\n}\ntask \"t\" {")
	for name, tc := range map[string]struct {
		task string
		want []string
	}{
		"oom-score-adj":   {option("oom_score_adj = -1"), []string{"oom_score_adj", "-1", "0 to 1000"}},
		"nice":            {option("nice = 20"), []string{"nice", "20", "0 to 19"}},
		"pids-limit":      {option("pids_limit = 201"), []string{"pids_limit", "201", "200"}},
		"pids-negative":   {option("pids_limit = -5"), []string{"pids_limit", "-5"}},
		"ulimit-name":     {option("ulimit {\n files = \"1\"\n}"), []string{"ulimit", `"files"`, "nofile"}},
		"ulimit-value":    {option("ulimit {\n nofile = \"many\"\n}"), []string{"ulimit", "nofile", `"many"`}},
		"ulimit-order":    {option("ulimit {\n nofile = \"9:8\"\n}"), []string{"ulimit", "above the hard one"}},
		"ulimit-too-high": {option("ulimit {\n nofile = \"unlimited\"\n}"), []string{"ulimit", "exceeds the agent's own"}},
		"cap-unknown":     {option(`cap_add = ["fly"]`), []string{"cap_add", `"fly"`}},
		"cap-denied":      {option(`cap_add = ["sys_admin"]`), []string{"cap_add", "sys_admin", "allow_caps"}},
		"pid-mode":        {option(`pid_mode = "task"`), []string{"pid_mode", `"task"`, `"private"`}},
		"user-denied":     {"user = \"mail\"\n" + option(""), []string{"user", `"mail"`, "denied_users"}},
		"user-range":      {"user = \"bin\"\n" + option(""), []string{"user", `"bin"`, "denied_users"}},
		"ipc-mode":        {option(`ipc_mode = "group"`), []string{"ipc_mode", `"group"`, `"private"`}},
		"work-dir":        {option(`work_dir = "../x"`), []string{"work_dir", `"../x"`, "leaves the task directory"}},
		"work-dir-out":    {option(`work_dir = "/var/lib"`), []string{"work_dir", `"/var/lib"`, "outside of every root"}},
		"oom-score-high":  {option("oom_score_adj = 1001"), []string{"oom_score_adj", "1001", "0 to 1000"}},
		"nice-negative":   {option("nice = -1"), []string{"nice", "-1", "0 to 19"}},
		"volume-root":     {mounted("/"), []string{"volume_mount", `"/"`, "hide the whole file system"}},
		"volume-system":   {mounted("/usr"), []string{"volume_mount", `"/usr"`, "hide /usr"}},
		"volume-etc":      {mounted("/srv/../etc/"), []string{"volume_mount", "hide /etc"}},
		"volume-proc":     {mounted("/proc/sys"), []string{"volume_mount", `"/proc/sys"`, "/proc is the task's own"}},
		"volume-dev":      {mounted("/dev"), []string{"volume_mount", `"/dev"`, "/dev is the task's own"}},
		"volume-task":     {mounted("local/.."), []string{"volume_mount", `"local/.."`, "hide"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := a.run(t, withVolume.Replace(batch("bad-option-"+name, tc.task)))
			got := j.event("Driver Failure")
			for _, want := range tc.want {
				if !strings.Contains(got, want) {
					t.Errorf("%q does not say %q\n%s", got, want, j.events())
				}
			}
			j.wantNotStarted()
		})
	}
	j := shared.client.run(t, batch("host-pid-denied", option(`pid_mode = "host"`)))
	if got := j.event("Driver Failure"); !strings.Contains(got, "allow_host_pid") {
		t.Errorf("%q", got)
	}
	// A user that does not exist ends the task before the driver is asked.
	j = a.run(t, batch("no-user", "user = \"no-such-user\"\n"+option("")))
	if !strings.Contains(j.events(), "no-such-user") || j.count("Started") != 0 {
		t.Errorf("events:\n%s", j.events())
	}
}
