// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/nomad/api"

	"github.com/burin-labs/nomad-driver-harn/landlock"
)

// clusterVariable names a directory with a second plugin, the same code with
// another version: "make e2e-cluster" sets it.
const clusterVariable = "HARN_E2E_CLUSTER"

// serverAddress is the server's for all nodes: in QEMU's user network it is the
// host, and in the tests' own network namespace it is made to be.
const serverAddress = "10.0.2.2"

// clusterTool is a directory that a preset names, and that some nodes have.
const clusterTool = "/srv/harn-cluster-tool"

// A machine is a node of the cluster: a VM, or this host if it has no kernel's name.
type machine struct {
	name, kernel string
	abi          landlock.ABI
	cgroups      string
	tool         bool   // it has what the preset names
	plugin       string // more of the plugin's options

	start func(plugin string)
	stop  func()
	do    func(command string) string
	job   *job // the one that is bound to it
}

// cluster is a server and its nodes, each with a kernel of its own.
type cluster struct {
	*server
	client   *client // for jobs: the methods of a client with a pool
	machines []*machine
}

// TestCluster runs jobs on a cluster whose nodes can enforce different things:
// they are placed by that, used through the server, moved, and go on while the
// driver is replaced on each node.
func TestCluster(t *testing.T) {
	plugins := os.Getenv(clusterVariable)
	if plugins == "" {
		t.Skip(`this takes VMs: "make e2e-cluster"`)
	}
	defer func(d time.Duration) { waitFor = d }(waitFor)
	waitFor = 10 * time.Minute // programs of the VMs are some 7 times slower
	older, newer := binary("nomad-driver-harn"), filepath.Join(plugins, "nomad-driver-harn")
	c := newCluster(t, older)

	if !t.Run("attributes", c.attributes) {
		t.FailNow() // nothing else can be as expected
	}
	t.Run("placement", c.placement)
	c.bindJobs(t)
	t.Run("through the server", c.throughTheServer)
	t.Run("upgrade", func(t *testing.T) { c.upgrade(t, newer) })
	t.Run("exits", c.exits)
	t.Run("drain", c.drain)
}

func newCluster(t *testing.T, plugin string) *cluster {
	t.Helper()
	if out, err := exec.Command("busybox", "ip", "address", "add", serverAddress+"/32", "dev", "lo").CombinedOutput(); err != nil {
		t.Fatalf("ip address add: %v, %s", err, out)
	}
	abi, err := landlock.Detect()
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{server: newServerAt(t, "0.0.0.0", serverAddress)}
	c.client = &client{Client: c.Client, pool: "cluster"}
	c.machines = []*machine{
		{name: "linux-5.10", kernel: "5.10", abi: 0, cgroups: "2", plugin: `fallback = "warn"`},
		{name: "linux-6.1", kernel: "6.1", abi: 2, cgroups: "2"},
		{name: "linux-6.12", kernel: "6.12", abi: 6, cgroups: "2", tool: true},
		{name: "linux-7.3", kernel: "7.3", abi: 11, cgroups: "2", tool: true},
		{name: "host", abi: abi, cgroups: either("1", "2")},
	}
	if some := strings.Fields(os.Getenv("KERNELS")); len(some) > 0 {
		c.machines = slices.DeleteFunc(c.machines, func(m *machine) bool { return m.kernel != "" && !slices.Contains(some, m.kernel) })
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	for _, m := range c.machines {
		if m.kernel == "" {
			c.host(t, m)
		} else {
			c.boot(t, m, l)
		}
		m.start(plugin)
		t.Logf("%s: its agent has been started", m.name)
	}
	for _, m := range c.machines {
		c.untilReady(t, m)
		t.Logf("%s is ready", m.name)
	}
	return c
}

// config is a node's configuration, but for what newAgentAt adds.
func (c *cluster) config(m *machine, dir, device string) string {
	return fmt.Sprintf(`
name       = %[1]q
plugin_dir = "%[2]s/plugins"
telemetry {
  publish_allocation_metrics = true
}
client {
  enabled           = true
  node_pool         = "cluster"
  servers           = ["%[3]s:%[4]d"]
  network_interface = %[5]q
  alloc_mounts_dir  = "%[2]s/mounts"
  options {
    "fingerprint.denylist" = "env_aws,env_gce,env_azure,env_digitalocean,consul,vault"
  }
}
plugin "nomad-driver-harn" {
  config {
    state_dir = "%[2]s/state"
    preset "tool" {
      read_only_roots = [%[6]q]
    }
    %[7]s
  }
}
`, m.name, dir, serverAddress, c.rpc, device, clusterTool, m.plugin)
}

// host makes this machine a node.
func (c *cluster) host(t *testing.T, m *machine) {
	t.Helper()
	a := newAgent(t, func(dir string) string {
		block, _, _ := ports(t)
		return block + c.config(m, dir, "lo")
	})
	t.Cleanup(func() { a.stop(t, syscall.SIGINT) })
	m.start = func(plugin string) {
		text, err := os.ReadFile(plugin)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(a.dir, "plugins", "nomad-driver-harn")
		if err := os.WriteFile(file+".new", text, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
		a.start(t, func() bool { return true })
	}
	m.stop = func() { a.stop(t, syscall.SIGINT) }
}

// boot boots a VM for a node, whose operator is this process, by a connection.
func (c *cluster) boot(t *testing.T, m *machine, l net.Listener) {
	t.Helper()
	const dir = "/var/tmp/node" // see node.sh
	shared := newAgentAt(t, "0.0.0.0", "10.0.2.15", func(string) string { return c.config(m, dir, "eth0") }).dir
	file := filepath.Join(shared, "agent.hcl")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text = bytes.ReplaceAll(text, []byte(shared+"/data"), []byte(dir+"/data"))
	text = bytes.ReplaceAll(text, []byte(`"DEBUG"`), []byte(`"INFO"`))
	if err := os.WriteFile(file, text, 0o644); err != nil {
		t.Fatal(err)
	}
	here, err := filepath.Abs("vm")
	if err != nil {
		t.Fatal(err)
	}
	nomad, err := filepath.EvalSymlinks(binary("nomad"))
	if err != nil {
		t.Fatal(err)
	}
	port := fmt.Sprint(l.Addr().(*net.TCPAddr).Port)
	vm := exec.Command(here+"/vm.sh", "-n", "-k", m.kernel, "-m", "2048", "-t", "7200", "-w", shared, "--", here+"/node.sh", m.name, port, nomad, file)
	vm.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	var out bytes.Buffer
	vm.Stdout, vm.Stderr = &out, &out
	if err := vm.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = vm.Wait()
		close(ended)
	}()
	t.Cleanup(func() {
		select {
		case <-ended:
		case <-time.After(time.Minute):
			_ = vm.Process.Signal(syscall.SIGTERM)
			<-ended
		}
		if t.Failed() {
			t.Logf("%s: %s", m.name, out.Bytes())
		}
	})
	conn := accept(t, l, m, ended)
	t.Cleanup(func() { conn.Close() }) // the first of its cleanups: node.sh ends by it
	answers := bufio.NewReader(conn)
	if name, err := answers.ReadString('\n'); err != nil || name != m.name+"\n" {
		t.Fatalf("%s says its name is %q: %v", m.name, name, err)
	}
	m.do = func(command string) string {
		t.Helper()
		if _, err := fmt.Fprintln(conn, command); err != nil {
			t.Fatalf("%s: %v", m.name, err)
		}
		var status, n int
		if _, err := fmt.Fscanf(answers, "%d %d\n", &status, &n); err != nil {
			t.Fatalf("%s: the answer to %q: %v", m.name, command, err)
		}
		answer := make([]byte, n)
		if _, err := io.ReadFull(answers, answer); err != nil || status != 0 {
			t.Fatalf("%s: %q: status %d, %v, %s", m.name, command, status, err, answer)
		}
		return string(answer)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s: its agent's log ends with:\n%s", m.name, m.do("tail -c 6000 "+dir+"/log"))
		}
	})
	if release := m.do("uname -r"); !strings.HasPrefix(release, m.kernel+".") {
		t.Fatalf("%s has the kernel %q", m.name, release)
	}
	if m.tool {
		m.do("mkdir " + clusterTool)
	}
	m.start = func(plugin string) { t.Helper(); m.do("start " + plugin) }
	m.stop = func() { t.Helper(); m.do("stop") }
}

// accept waits for the connection of a VM's node.sh.
func accept(t *testing.T, l net.Listener, m *machine, ended chan struct{}) net.Conn {
	t.Helper()
	for end := time.Now().Add(10 * time.Minute); time.Now().Before(end); {
		select {
		case <-ended:
			t.Fatalf("%s: the VM has ended", m.name)
		default:
		}
		_ = l.(*net.TCPListener).SetDeadline(time.Now().Add(time.Second))
		conn, err := l.Accept()
		if err == nil {
			return conn
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
	}
	t.Fatalf("%s has not booted in ten minutes", m.name)
	return nil
}

// find returns a machine's node, nil if it has not registered yet.
func (c *cluster) find(m *machine) *api.Node {
	list, _, err := c.Nodes().List(nil)
	if err != nil {
		return nil
	}
	for _, stub := range list {
		if stub.Name == m.name {
			if node, _, err := c.Nodes().Info(stub.ID, nil); err == nil {
				return node
			}
		}
	}
	return nil
}

// untilReady waits until a node can have tasks.
func (c *cluster) untilReady(t *testing.T, m *machine) {
	t.Helper()
	eventually(t, m.name+" is not ready", func() bool {
		node := c.find(m)
		return node != nil && node.Status == "ready" && node.Drivers["harn"] != nil && node.Drivers["harn"].Healthy
	})
}

// names are those of the machines for which the condition holds.
func (c *cluster) names(condition func(*machine) bool) []string {
	names := []string{}
	for _, m := range c.machines {
		if condition(m) {
			names = append(names, m.name)
		}
	}
	slices.Sort(names)
	return names
}

// attributes: each node says what its kernel has.
func (c *cluster) attributes(t *testing.T) {
	for _, m := range c.machines {
		node := c.find(m)
		profiles := "os_hardened"
		if m.abi == 0 {
			profiles = "worktree"
		}
		for name, want := range map[string]string{
			"landlock.abi": fmt.Sprint(int(m.abi)),
			"landlock.net": fmt.Sprint(m.abi >= 4),
			"cgroups":      m.cgroups,
			"seccomp":      "true",
			"preset.tool":  fmt.Sprint(m.tool),
		} {
			if got := node.Attributes["driver.harn."+name]; got != want {
				t.Errorf("%s: driver.harn.%s = %q, want %q", m.name, name, got, want)
			}
		}
		if got := node.Attributes["driver.harn.profiles"]; !strings.Contains(got, profiles) || m.abi == 0 && strings.Contains(got, "os_hardened") {
			t.Errorf("%s: driver.harn.profiles = %q", m.name, got)
		}
	}
}

// A constraint as a job has it.
type constraint struct{ attribute, operator, value string }

func (c constraint) String() string {
	return fmt.Sprintf("${%s} %s %s", c.attribute, c.operator, c.value)
}

// everywhere is a job that asks for a task on each node, under a constraint.
func everywhere(name string, count int, c constraint) string {
	return fmt.Sprintf(`
job %q {
  group "g" {
    count = %d
    constraint {
      operator = "distinct_hosts"
      value    = "true"
    }
    constraint {
      attribute = "${%s}"
      operator  = %q
      value     = %q
    }
    task "t" {
      driver = "harn"
      config {
        command = "/bin/sleep"
        args    = ["100000"]
      }
      resources {
        cpu    = 20
        memory = 32
      }
    }
  }
}`, name, count, c.attribute, c.operator, c.value)
}

// placed submits a job, and returns on which nodes the scheduler has placed it,
// and why not on more, nil if it has placed all. The job is gone when it returns.
func (c *cluster) placed(t *testing.T, hcl string) (nodes []string, failure *api.AllocationMetric) {
	t.Helper()
	j := c.client.submit(t, hcl)
	defer func() { _, _, _ = c.Jobs().Deregister(*j.ID, true, nil) }()
	eventually(t, *j.ID+" has not been evaluated", func() bool {
		evals, _, err := c.Jobs().Evaluations(*j.ID, nil)
		if err != nil {
			return false
		}
		failure = nil
		for _, e := range evals {
			if e.TriggeredBy == "job-register" && e.Status == "complete" {
				failure = e.FailedTGAllocs["g"]
				return true
			}
		}
		return false
	})
	allocs, _, err := c.Jobs().Allocations(*j.ID, true, nil)
	if err != nil {
		t.Fatal(err)
	}
	nodes = []string{}
	for _, a := range allocs {
		nodes = append(nodes, a.NodeName)
	}
	slices.Sort(nodes)
	return nodes, failure
}

func (c *cluster) wantPlaced(t *testing.T, name string, by constraint, want []string) {
	t.Helper()
	got, failure := c.placed(t, everywhere(name, len(c.machines), by))
	if !slices.Equal(got, want) {
		t.Errorf("%v: placed on %q, want %q", by, got, want)
	}
	if (failure == nil) != (len(want) == len(c.machines)) {
		t.Errorf("%v: the failure to place the rest is %+v", by, failure)
	}
}

// placement: by attributes, jobs come to those nodes that have what they need and
// to no others, and who asks why is told which constraint it was.
func (c *cluster) placement(t *testing.T) {
	for i, abi := range []landlock.ABI{0, 1, 3, 6, 7, 11} {
		by := constraint{"attr.driver.harn.landlock.abi", ">=", fmt.Sprint(int(abi))}
		c.wantPlaced(t, fmt.Sprintf("abi-%d", i), by, c.names(func(m *machine) bool { return m.abi >= abi }))
	}
	c.wantPlaced(t, "preset", constraint{"attr.driver.harn.preset.tool", "=", "true"}, c.names(func(m *machine) bool { return m.tool }))
	c.wantPlaced(t, "cgroups", constraint{"attr.driver.harn.cgroups", "=", "2"}, c.names(func(m *machine) bool { return m.cgroups == "2" }))
	c.wantPlaced(t, "hardened", constraint{"attr.driver.harn.profiles", "set_contains", "os_hardened"}, c.names(func(m *machine) bool { return m.abi > 0 }))

	for i, by := range []constraint{
		{"attr.driver.harn.landlock.abi", ">=", "12"},
		{"attr.driver.harn.preset.none", "=", "true"},
		{"attr.driver.harn.version", "=", "1000.0.0"},
	} {
		nodes, failure := c.placed(t, everywhere(fmt.Sprintf("nowhere-%d", i), 1, by))
		if len(nodes) > 0 || failure == nil || failure.ConstraintFiltered[by.String()] != len(c.machines) {
			t.Errorf("%v: placed on %q, and the failure is %+v", by, nodes, failure)
		}
	}
}

// bindJobs starts a job on each node that stays there.
func (c *cluster) bindJobs(t *testing.T) {
	t.Helper()
	for _, m := range c.machines {
		m.job = c.client.submit(t, fmt.Sprintf(`
job "on-%[1]s" {
  constraint {
    attribute = "${node.unique.name}"
    value     = "%[1]s"
  }
  group "g" {
    restart {
      attempts = 0
      mode     = "fail"
    }
    reschedule {
      attempts  = 0
      unlimited = false
    }
    task "t" {
      driver = "harn"
      config {
        command = "/bin/bash"
        args    = ["-c", "trap 'echo signaled' USR1; trap 'exit 7' USR2; echo on $(uname -r); while :; do sleep 1000 & wait; done"]
      }
      resources {
        cpu    = 50
        memory = 64
      }
    }
  }
}`, m.name))
	}
	for _, m := range c.machines {
		m.job.untilRunning()
	}
}

// throughTheServer: the server is all that these requests go to. It has no way to
// a VM but the connection that the VM's agent has made.
func (c *cluster) throughTheServer(t *testing.T) {
	for _, m := range c.machines {
		t.Run(m.name, func(t *testing.T) {
			j := *m.job
			j.t = t
			j.untilLogged("on " + m.kernel)
			confinement, events := fmt.Sprintf(", Landlock ABI %d with", int(m.abi)), j.events()
			if !strings.Contains(events, "Confined: ") || strings.Contains(events, confinement) != (m.abi > 0) {
				t.Errorf("%q in the events, if there is Landlock:\n%s", confinement, events)
			}
			out, _, code := j.exec(false, "typed\n", "/bin/sh", "-c", "read line; echo $line on $(uname -r); exit 3")
			if !strings.HasPrefix(out, "typed on "+m.kernel) || code != 3 {
				t.Errorf("exec: %q, code %d", out, code)
			}
			if err := c.Allocations().Signal(j.alloc, nil, "t", "SIGUSR1"); err != nil {
				t.Errorf("signal: %v", err)
			}
			j.untilLogged("signaled")
			eventually(t, "no stats", func() bool {
				stats, err := c.Allocations().Stats(j.alloc, nil)
				return err == nil && stats.Tasks["t"] != nil && stats.Tasks["t"].ResourceUsage.MemoryStats.RSS+
					stats.Tasks["t"].ResourceUsage.MemoryStats.Usage > 0
			})
		})
	}
}

// upgrade replaces the driver on one node after the other. Their tasks stay the same
// processes, and a job can ask for the newer one meanwhile.
func (c *cluster) upgrade(t *testing.T, plugin string) {
	const version = "999.0.0" // as the Makefile makes it
	upgraded := map[string]bool{}
	for i, m := range c.machines {
		j := *m.job
		j.t = t
		j.look()
		before, began := j.alloc.ID, c.process(&j)
		m.stop()
		m.start(plugin)
		eventually(t, m.name+" has not the new version", func() bool {
			node := c.find(m)
			return node != nil && node.Attributes["driver.harn.version"] == version
		})
		c.untilReady(t, m)
		j.untilRestored()
		upgraded[m.name] = true
		if after := c.process(&j); after != began {
			t.Errorf("%s: the task's process began at %s, was %s", m.name, after, began)
		}
		for _, other := range c.machines {
			alloc, _, err := c.Allocations().Info(other.job.look().ID, nil)
			if err != nil {
				t.Fatal(err)
			}
			if state := alloc.TaskStates["t"]; state.State != "running" || state.Restarts != 0 || other == m && alloc.ID != before {
				t.Errorf("while %s was upgraded, the task of %s: %+v", m.name, other.name, state)
			}
		}
		c.wantPlaced(t, fmt.Sprintf("newer-%d", i), constraint{"attr.driver.harn.version", "version", ">= " + version},
			c.names(func(m *machine) bool { return upgraded[m.name] }))
		t.Logf("%s has version %s", m.name, version)
	}
}

// process is when the first process of a job's task began, as its kernel says.
func (c *cluster) process(j *job) string {
	j.t.Helper()
	out, stderr, code := j.exec(false, "", "/bin/sh", "-c", "pid=$(pgrep -o bash) && cut -d ' ' -f 1,22 /proc/$pid/stat")
	if code != 0 || out == "" {
		j.t.Fatalf("%s: exec: code %d, %s", *j.ID, code, stderr)
	}
	return out
}

// exits: a task that the older driver has started is signaled by the newer one, and
// its exit code is known.
func (c *cluster) exits(t *testing.T) {
	for _, m := range c.machines {
		j := *m.job
		j.t = t
		j.look()
		if err := c.Allocations().Signal(j.alloc, nil, "t", "SIGUSR2"); err != nil {
			t.Fatalf("%s: %v", m.name, err)
		}
		j.untilDead()
		if got := j.exited(); !strings.Contains(got, "Exit Code: 7") {
			t.Errorf("%s: %s, want exit code 7", m.name, got)
		}
	}
}

// drain: a job leaves a node that is drained, for one that has what it needs as well.
func (c *cluster) drain(t *testing.T) {
	const least = 6
	j := c.client.submit(t, everywhere("moves", 1, constraint{"attr.driver.harn.landlock.abi", ">=", fmt.Sprint(least)})).untilRunning()
	first := j.alloc
	fits := c.names(func(m *machine) bool { return m.abi >= least && m.name != first.NodeName })
	spec := &api.DrainOptions{DrainSpec: &api.DrainSpec{Deadline: 10 * time.Minute}}
	if _, err := c.Nodes().UpdateDrainOpts(first.NodeID, spec, nil); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the job has not moved", func() bool {
		alloc := j.look()
		return alloc != nil && alloc.ID != first.ID && alloc.ClientStatus == "running"
	})
	if !slices.Contains(fits, j.alloc.NodeName) {
		t.Errorf("it moved from %s to %s, want one of %q", first.NodeName, j.alloc.NodeName, fits)
	}
	eventually(t, "the task on the drained node has not ended", func() bool {
		alloc, _, err := c.Allocations().Info(first.ID, nil)
		return err == nil && alloc.ClientStatus == "complete"
	})
	t.Logf("moved from %s to %s", first.NodeName, j.alloc.NodeName)
}
