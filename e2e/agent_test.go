// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/nomad/api"
)

// agent is a real Nomad agent, server and client in one, with the plugin in
// its plugin_dir. It is not in dev mode, so that it can be restarted.
type agent struct {
	*api.Client
	dir   string
	cmd   *exec.Cmd
	ended chan struct{} // closed when cmd has ended
}

// waitFor is how long a condition may take, on a machine that does other
// things as well. Nothing sleeps for it: it only ends what would never end.
const waitFor = 90 * time.Second

// eventually returns when the condition holds.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(waitFor); !condition(); time.Sleep(50 * time.Millisecond) {
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

// newAgent starts an agent. config is added to the plugin's configuration.
func newAgent(t testing.TB, config string) *agent {
	t.Helper()
	// Not in /tmp, of which tasks have a private version.
	dir, err := os.MkdirTemp("/var/tmp", "harn-e2e-")
	if err != nil {
		t.Fatal(err)
	}
	a := &agent{dir: dir}
	t.Cleanup(func() {
		a.stop(t, syscall.SIGINT)
		unmountBeneath(dir) // an agent leaves the mounts of its allocations
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	for _, sub := range []string{"data", "mounts", "plugins"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o711); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	plugin, err := os.ReadFile(binary("nomad-driver-harn"))
	if err != nil {
		t.Fatalf("%v: run the tests by \"make e2e\", which builds it", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "plugins", "nomad-driver-harn"), plugin, 0o755); err != nil {
		t.Fatal(err)
	}
	port := freePorts(t, 3)
	file := fmt.Sprintf(`
name                 = "e2e"
bind_addr            = "127.0.0.1"
data_dir             = %[1]q
plugin_dir           = %[2]q
log_level            = "DEBUG"
disable_update_check = true
ports {
  http = %[3]d
  rpc  = %[4]d
  serf = %[5]d
}
telemetry {
  publish_allocation_metrics = true # without it the client asks for no stats
}
advertise {
  http = "127.0.0.1"
  rpc  = "127.0.0.1"
  serf = "127.0.0.1"
}
server {
  enabled          = true
  bootstrap_expect = 1
  raft_multiplier  = 1
}
client {
  enabled           = true
  network_interface = "lo" # all there is in the tests' network namespace
  servers           = ["127.0.0.1:%[4]d"]
  alloc_mounts_dir  = %[6]q
  options {
    "fingerprint.denylist" = "env_aws,env_gce,env_azure,env_digitalocean,consul,vault"
  }
}
plugin "raw_exec" {
  config {
    enabled = true
  }
}
plugin "nomad-driver-harn" {
  config {
    state_dir = %[7]q
%[8]s
  }
}
`, dir+"/data", dir+"/plugins", port[0], port[1], port[2], dir+"/mounts", dir+"/state", config)
	if err := os.WriteFile(filepath.Join(dir, "agent.hcl"), []byte(file), 0o644); err != nil {
		t.Fatal(err)
	}
	a.Client, err = api.NewClient(&api.Config{Address: fmt.Sprintf("http://127.0.0.1:%d", port[0])})
	if err != nil {
		t.Fatal(err)
	}
	a.start(t)
	return a
}

func unmountBeneath(dir string) {
	mounts, _ := os.ReadFile("/proc/self/mounts")
	for line := range strings.Lines(string(mounts)) {
		if target := strings.Fields(line)[1]; strings.HasPrefix(target, dir+"/") {
			_ = syscall.Unmount(target, syscall.MNT_DETACH)
		}
	}
}

func freePorts(t testing.TB, n int) []int {
	t.Helper()
	var ports []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports
}

// start starts the agent and waits until it can place tasks of the driver.
func (a *agent) start(t testing.TB) {
	t.Helper()
	log, err := os.OpenFile(a.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	a.cmd = exec.Command(binary("nomad"), "agent", "-config", filepath.Join(a.dir, "agent.hcl"))
	a.cmd.Env = append(os.Environ(), "HARN_E2E_SECRET=of the agent")
	for i, v := range a.cmd.Env {
		if strings.HasPrefix(v, "AWS_CA_BUNDLE=") { // breaks a fingerprinter, though it is denied
			a.cmd.Env[i] = "AWS_CA_BUNDLE_UNUSED="
		}
	}
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
	defer func() {
		if t.Failed() {
			text, _ := os.ReadFile(a.log())
			t.Logf("%s ends with:\n%s", a.log(), text[max(0, len(text)-4000):])
		}
	}()
	eventually(t, "the agent is not ready", func() bool {
		select {
		case <-ended:
			t.Fatalf("the agent has ended")
		default:
		}
		nodes, _, err := a.Nodes().List(nil)
		if err != nil || len(nodes) != 1 || nodes[0].Status != "ready" {
			return false
		}
		driver := nodes[0].Drivers["harn"]
		return driver != nil && driver.Detected
	})
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

// node is the agent's client node.
func (a *agent) node(t testing.TB) *api.Node {
	t.Helper()
	list, _, err := a.Nodes().List(nil)
	if err != nil {
		t.Fatal(err)
	}
	node, _, err := a.Nodes().Info(list[0].ID, nil)
	if err != nil {
		t.Fatal(err)
	}
	return node
}

// plugin returns the process ID of the plugin that serves the agent.
func (a *agent) plugin(t testing.TB) int {
	t.Helper()
	pid := 0
	eventually(t, "no plugin process", func() bool {
		for _, p := range processes() {
			if p.parent == a.cmd.Process.Pid && strings.HasSuffix(p.args[0], "/nomad-driver-harn") {
				pid = p.pid
			}
		}
		return pid != 0
	})
	return pid
}

type process struct {
	pid, parent int
	args        []string
}

// processes are all processes of this PID namespace: the agent and what it
// started.
func processes() []process {
	var all []process
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		pid, _ := strconv.Atoi(filepath.Base(dir))
		cmdline, err := os.ReadFile(dir + "/cmdline")
		if err != nil || len(cmdline) == 0 {
			continue
		}
		stat, err := os.ReadFile(dir + "/stat")
		if err != nil {
			continue
		}
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		parent, _ := strconv.Atoi(fields[1])
		args := strings.Split(strings.TrimRight(string(cmdline), "\x00"), "\x00")
		all = append(all, process{pid, parent, args})
	}
	return all
}

// running are the processes whose command line begins with some words.
func running(words ...string) (pids []int) {
	for _, p := range processes() {
		if len(p.args) >= len(words) && slices.Equal(p.args[:len(words)], words) {
			pids = append(pids, p.pid)
		}
	}
	return pids
}

var shared struct {
	sync.Once
	*agent
}

// TestMain's agent for all tests that do not end it.
func theAgent(t testing.TB) *agent {
	t.Helper()
	if shared.agent == nil {
		t.Fatal("the shared agent did not start")
	}
	return shared.agent
}

// supervisors are the processes of a job's task that outlive the agent.
func supervisors(j *job) (pids []int) {
	for _, p := range processes() {
		if p.args[0] == "harn-supervisor" && strings.HasPrefix(p.args[1], j.alloc.ID) {
			pids = append(pids, p.pid)
		}
	}
	return pids
}

func signalNumber(name string) syscall.Signal {
	return map[string]syscall.Signal{"INT": syscall.SIGINT, "KILL": syscall.SIGKILL}[name]
}
