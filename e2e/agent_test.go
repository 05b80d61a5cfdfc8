// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"cmp"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/nomad/api"

	"github.com/burin-labs/nomad-driver-harn/internal/kerneltest"
)

// waitFor is how long a condition may take, on a machine that does other
// things as well. Nothing sleeps for it: it only ends what would never end.
var waitFor = func() time.Duration {
	if inVM {
		return 10 * time.Minute
	}
	return 90 * time.Second
}()

// inVM: in one of vm.sh, where programs are some 7 times slower.
var inVM = os.Getenv("HARN_VM") != ""

// patience is how long something may take that takes at most d on the host.
func patience(d time.Duration) time.Duration {
	if inVM {
		return 7 * d
	}
	return d
}

// eventually returns when the condition holds.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	// In a VM an agent has enough to do without being asked.
	for end := time.Now().Add(waitFor); !condition(); time.Sleep(patience(50 * time.Millisecond)) {
		if time.Now().After(end) {
			t.Fatalf("after %v: %s", waitFor, what)
		}
	}
}

// binary is one of the programs that "make" has built.
func binary(name string) string {
	path, err := filepath.Abs(filepath.Join("..", "bin", name))
	if err != nil {
		panic(err)
	}
	return path
}

// nomad is the Nomad that runs, another version than "make nomad" builds by HARN_NOMAD.
var nomad = cmp.Or(os.Getenv("HARN_NOMAD"), binary("nomad"))

// agent is a real Nomad agent.
type agent struct {
	dir   string
	cmd   *exec.Cmd
	ended chan struct{} // closed when cmd has ended
}

// newAgent makes an agent's directory and configuration.
func newAgent(t testing.TB, config func(dir string) string) agent {
	t.Helper()
	return newAgentAt(t, "127.0.0.1", "127.0.0.1", config)
}

// newAgentAt makes one that listens at an address, and is reached at another.
func newAgentAt(t testing.TB, bind, advertise string, config func(dir string) string) agent {
	t.Helper()
	dir, err := os.MkdirTemp(kerneltest.Scratch(), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		kerneltest.UnmountBeneath(dir)
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	for _, sub := range []string{"data", "mounts", "plugins", "tmp"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o711); err != nil {
			t.Fatal(err)
		}
	}
	common := fmt.Sprintf(`
bind_addr            = %q
data_dir             = %q
log_level            = "DEBUG"
disable_update_check = true
limits {
  http_max_conns_per_client = 0 # the tests are one client
  rpc_max_conns_per_client  = 0
}
advertise {
  http = %[3]q
  rpc  = %[3]q
  serf = %[3]q
}
`, bind, dir+"/data", advertise)
	if err := os.WriteFile(filepath.Join(dir, "agent.hcl"), []byte(common+config(dir)), 0o644); err != nil {
		t.Fatal(err)
	}
	return agent{dir: dir}
}

// ports returns a ports block with three free ports, and the first two.
func ports(t testing.TB) (block string, http, rpc int) {
	t.Helper()
	var free [3]int
	for i := range free {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		free[i] = l.Addr().(*net.TCPAddr).Port
	}
	return fmt.Sprintf("ports {\n http = %d\n rpc = %d\n serf = %d\n}\n", free[0], free[1], free[2]), free[0], free[1]
}

// start starts the agent and waits until it is ready.
func (a *agent) start(t testing.TB, ready func() bool) {
	t.Helper()
	a.launch(t)
	defer func() {
		if t.Failed() {
			text, _ := os.ReadFile(a.log())
			t.Logf("%s ends with:\n%s", a.log(), text[max(0, len(text)-4000):])
		}
	}()
	eventually(t, "the agent is not ready", func() bool {
		select {
		case <-a.ended:
			t.Fatalf("the agent has ended")
		default:
		}
		return ready()
	})
}

// launch starts the agent.
func (a *agent) launch(t testing.TB) {
	t.Helper()
	log, err := os.OpenFile(a.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	a.cmd = exec.Command(nomad, "agent", "-config", filepath.Join(a.dir, "agent.hcl"))
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "AWS_CA_BUNDLE=") { // breaks a fingerprinter, though it is denied
			a.cmd.Env = append(a.cmd.Env, v)
		}
	}
	// Plugins that are killed leave their sockets in TMPDIR.
	a.cmd.Env = append(a.cmd.Env, "HARN_E2E_SECRET=of the agent", "TMPDIR="+a.dir+"/tmp")
	a.cmd.Stdout, a.cmd.Stderr = log, log
	a.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := a.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	a.ended = ended
	go func(cmd *exec.Cmd) {
		_ = cmd.Wait()
		close(ended)
	}(a.cmd)
}

// stop ends the agent by a signal and waits for its end.
func (a *agent) stop(t testing.TB, sig syscall.Signal) {
	t.Helper()
	if a.cmd == nil {
		return
	}
	_ = a.cmd.Process.Signal(sig)
	select {
	case <-a.ended:
	case <-time.After(waitFor):
		_ = a.cmd.Process.Kill()
		t.Errorf("the agent did not end by %v", sig)
		<-a.ended
	}
	a.cmd = nil
}

func (a *agent) log() string { return filepath.Join(a.dir, "agent.log") }

// server is a Nomad server. All tests share one.
type server struct {
	agent
	*api.Client
	rpc int
}

func newServer(t testing.TB) *server {
	t.Helper()
	return newServerAt(t, "127.0.0.1", "127.0.0.1")
}

func newServerAt(t testing.TB, bind, advertise string) *server {
	t.Helper()
	block, http, rpc := ports(t)
	s := &server{rpc: rpc, agent: newAgentAt(t, bind, advertise, func(string) string {
		return block + `
server {
  enabled          = true
  bootstrap_expect = 1
  raft_multiplier  = 1
  # An agent that is started again may take longer than its heartbeat lasts
  # (20 to 30 s by default): its allocations would be replaced.
  heartbeat_grace = "10m"
}
`
	})}
	t.Cleanup(func() { s.stop(t, syscall.SIGKILL) })
	var err error
	s.Client, err = api.NewClient(&api.Config{Address: fmt.Sprintf("http://127.0.0.1:%d", http)})
	if err != nil {
		t.Fatal(err)
	}
	s.start(t, func() bool {
		// A client that registers before there is a key waits for 20 seconds.
		keys, _, err := s.Keyring().List(nil)
		return err == nil && len(keys) > 0
	})
	// For memory_max.
	scheduler := &api.SchedulerConfiguration{MemoryOversubscriptionEnabled: true}
	if _, _, err := s.Operator().SchedulerSetConfiguration(scheduler, nil); err != nil {
		t.Fatal(err)
	}
	return s
}

// client is a Nomad client with the plugin in its plugin_dir. It is the only
// one in its node pool.
type client struct {
	agent
	*api.Client
	pool string
	http int // the port of its own API
}

// options are added to a client's configuration.
type options struct {
	binary string // the plugin, "" for the one that "make build" builds
	plugin string // the driver's
	client string
	agent  string
}

// newClient starts a client in a node pool.
func newClient(t testing.TB, s *server, pool string, o options) *client {
	t.Helper()
	block, http, _ := ports(t)
	c := &client{Client: s.Client, pool: pool, http: http, agent: newAgent(t, func(dir string) string {
		return block + fmt.Sprintf(`
name       = %[1]q
plugin_dir = %[2]q
telemetry {
  publish_allocation_metrics = true # without it the client asks for no stats
}
client {
  enabled           = true
  node_pool         = %[1]q
  servers           = ["127.0.0.1:%[3]d"]
  network_interface = "lo" # all there is in the tests' network namespace
  alloc_mounts_dir  = %[4]q
  options {
    "fingerprint.denylist" = "env_aws,env_gce,env_azure,env_digitalocean,consul,vault"
  }
%[7]s
}
%[8]s
plugin "raw_exec" {
  config {
    enabled = true
  }
}
plugin "nomad-driver-harn" {
  config {
    state_dir    = %[5]q
    sweep_period = "1s"
%[6]s
  }
}
`, pool, dir+"/plugins", s.rpc, dir+"/mounts", dir+"/state", o.plugin,
			strings.ReplaceAll(o.client, "DIR", dir), strings.ReplaceAll(o.agent, "DIR", dir))
	})}
	c.install(t, cmp.Or(o.binary, binary("nomad-driver-harn")))
	if pool == "complete" {
		prepareClient(t, c.dir)
	}
	t.Cleanup(func() {
		c.awaitTasks()
		c.stop(t, syscall.SIGINT)
	})
	c.start(t)
	return c
}

// awaitTasks waits for the end of the tasks, whose jobs have been stopped: they
// would outlive the client if it ended before it hears of that. Tests that leave
// tasks on purpose end the client themselves.
func (c *client) awaitTasks() {
	for end := time.Now().Add(patience(20 * time.Second)); c.cmd != nil && time.Now().Before(end); time.Sleep(patience(50 * time.Millisecond)) {
		if records, err := os.ReadDir(c.dir + "/state"); err != nil || len(records) == 0 {
			return
		}
	}
}

// install puts a plugin into the place of the one that is there, which may run.
func (c *client) install(t testing.TB, file string) {
	t.Helper()
	plugin, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v: run the tests by \"make e2e\", which builds it", err)
	}
	name := filepath.Join(c.dir, "plugins", "nomad-driver-harn")
	if err := os.Remove(name); err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, plugin, 0o755); err != nil {
		t.Fatal(err)
	}
}

var cgroupsV2 = func() bool {
	_, err := os.Stat("/sys/fs/cgroup/cgroup.controllers")
	return err == nil
}()

// either returns what is expected under the version of cgroups in use.
func either(v1, v2 string) string {
	if cgroupsV2 {
		return v2
	}
	return v1
}

// start starts the client and waits until it can place tasks of the driver.
func (c *client) start(t testing.TB) {
	t.Helper()
	began := time.Now()
	c.agent.start(t, func() bool {
		node := c.find()
		return node != nil && node.Status == "ready" && node.Drivers["harn"] != nil && node.Drivers["harn"].Detected &&
			// Not what was known of it before.
			node.Drivers["harn"].UpdateTime.After(began)
	})
	// A node says that it is ready before its agent has taken all allocations up again.
	eventually(t, "the agent does not know its allocations", func() bool {
		node := c.find()
		if node == nil {
			return false
		}
		list, _, err := c.Nodes().Allocations(node.ID, nil)
		if err != nil {
			return false
		}
		for _, alloc := range list {
			_, err := c.Allocations().Stats(alloc, nil)
			if !alloc.ClientTerminalStatus() && err != nil && strings.Contains(err.Error(), "Unknown allocation") {
				return false
			}
		}
		return true
	})
}

// find returns the client's node, nil if it has not registered yet.
func (c *client) find() *api.Node {
	list, _, err := c.Nodes().List(nil)
	if err != nil {
		return nil
	}
	for _, stub := range list {
		if stub.Name == c.pool {
			if node, _, err := c.Nodes().Info(stub.ID, nil); err == nil {
				return node
			}
		}
	}
	return nil
}

// plugin returns the process ID of the plugin that serves the client.
func (c *client) plugin(t testing.TB) int {
	t.Helper()
	pid := 0
	eventually(t, "no plugin process", func() bool {
		pids := running(c.dir + "/plugins/nomad-driver-harn")
		if len(pids) == 1 {
			pid = pids[0]
		}
		return len(pids) == 1
	})
	return pid
}
