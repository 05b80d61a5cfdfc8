// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/hashicorp/nomad/api"

	"github.com/burin-labs/nomad-driver-harn/internal/kerneltest"
)

// waitFor is how long an agent, or a job, may take.
const waitFor = 10 * time.Minute

// eventually returns when the condition holds.
func eventually(what string, every time.Duration, condition func() (bool, error)) error {
	for end := time.Now().Add(waitFor); ; time.Sleep(every) {
		ok, err := condition()
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		if ok {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("%s: not within %v", what, waitFor)
		}
	}
}

// cluster is a Nomad server and its clients, each an agent of its own.
type cluster struct {
	*api.Client
	dir     string
	server  *agentProcess
	clients map[string]*agentProcess // by the class of the node
}

type agentProcess struct {
	cmd   *exec.Cmd
	ended chan struct{}
	log   string
}

// withCluster runs f with a server and the clients of some subjects.
func (b *bench) withCluster(subjects []subject, f func(*cluster) error) error {
	dir, err := os.MkdirTemp(b.dir, "c")
	if err != nil {
		return err
	}
	c := &cluster{dir: dir, clients: map[string]*agentProcess{}}
	defer func() {
		c.stop()
		kerneltest.UnmountBeneath(dir)
		_ = os.RemoveAll(dir)
	}()
	if err := c.start(b, subjects); err != nil {
		return fmt.Errorf("%w\n%s", err, c.logs())
	}
	if err := f(c); err != nil {
		return fmt.Errorf("%w\n%s", err, c.logs())
	}
	return nil
}

func (c *cluster) start(b *bench, subjects []subject) error {
	if err := os.Chmod(c.dir, 0o755); err != nil {
		return err
	}
	ports, err := freePorts(3)
	if err != nil {
		return err
	}
	c.Client, err = api.NewClient(&api.Config{Address: fmt.Sprintf("http://127.0.0.1:%d", ports[0])})
	if err != nil {
		return err
	}
	c.server, err = c.startAgent(b, "server", ports, `
server {
  enabled          = true
  bootstrap_expect = 1
  raft_multiplier  = 1
  heartbeat_grace  = "10m" # a busy machine is no lost client
}
`)
	if err != nil {
		return err
	}
	err = eventually("the server has a key", 50*time.Millisecond, func() (bool, error) {
		keys, _, err := c.Keyring().List(nil)
		return err == nil && len(keys) > 0, c.server.gone()
	})
	if err != nil {
		return err
	}
	for _, s := range subjects {
		if c.clients[s.client] != nil {
			continue
		}
		client, err := c.startClient(b, s.client, ports[1])
		if err != nil {
			return err
		}
		c.clients[s.client] = client
	}
	return eventually("the clients are ready", 50*time.Millisecond, func() (bool, error) {
		nodes, _, err := c.Nodes().List(nil)
		if err != nil {
			return false, c.gone()
		}
		for _, s := range subjects {
			if !slices.ContainsFunc(nodes, s.ready) {
				return false, c.gone()
			}
		}
		return true, nil
	})
}

// ready is whether a node can run the subject's jobs.
func (s subject) ready(node *api.NodeListStub) bool {
	d := node.Drivers[s.driver]
	return node.NodeClass == s.client && node.Status == "ready" && d != nil && d.Detected && d.Healthy
}

// startClient starts a client with all drivers. rpc is the server's port.
func (c *cluster) startClient(b *bench, class string, rpc int) (*agentProcess, error) {
	ports, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	// Each client has a copy: the memory that two plugins share would count half.
	plugins := filepath.Join(c.dir, class+"-plugins")
	if err := os.Mkdir(plugins, 0o755); err != nil {
		return nil, err
	}
	if err := copyFile(filepath.Join(b.bin, harnProgram), filepath.Join(plugins, harnProgram)); err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	if err := os.Symlink(self, filepath.Join(plugins, floorProgram)); err != nil {
		return nil, err
	}
	var harnOptions, floorArgs string
	firstUser := 80000 // Nomad's default
	if class == logsClient {
		harnOptions = `logs {
      collector = "driver"
    }`
		floorArgs = fmt.Sprintf("args = [%q]", floorWithoutLogs)
		firstUser += usersOfClient
	}
	var files strings.Builder
	for source, target := range chroot() {
		fmt.Fprintf(&files, "    %q = %q\n", source, target)
	}
	return c.startAgent(b, class, ports, fmt.Sprintf(`
plugin_dir = %q
telemetry {
  publish_allocation_metrics = true # without it the client asks for no stats
}
client {
  enabled             = true
  node_class          = %q
  servers             = ["127.0.0.1:%d"]
  network_interface   = "lo" # all there is in this network namespace
  alloc_mounts_dir    = %q
  cpu_total_compute   = 1000000 # so that jobs are placed, however many
  memory_total_mb     = 1000000
  gc_max_allocs       = 100000
  gc_disk_usage_threshold  = 99
  gc_inode_usage_threshold = 99
  users {
    dynamic_user_min = %d
    dynamic_user_max = %d
  }
  options {
    "fingerprint.denylist" = "env_aws,env_gce,env_azure,env_digitalocean,consul,vault"
  }
  chroot_env {
%s  }
}
plugin "raw_exec" {
  config {
    enabled = true
  }
}
plugin %q {
  config {
    state_dir = %q
    %s
  }
}
plugin %q {
  %s
}
`, plugins, class, rpc, c.mounts(class), firstUser, firstUser+usersOfClient-1, files.String(),
		harnProgram, filepath.Join(c.dir, class+"-state"), harnOptions, floorProgram, floorArgs))
}

// usersOfClient is how many dynamic users a client has: no two tasks of a
// machine have the same one.
const usersOfClient = 5000

// mounts is where an agent mounts the directories of its allocations.
func (c *cluster) mounts(name string) string { return filepath.Join(c.dir, name+"-mounts") }

func freePorts(n int) ([]int, error) {
	var ports []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

func (c *cluster) startAgent(b *bench, name string, ports []int, config string) (*agentProcess, error) {
	data := filepath.Join(c.dir, name)
	for _, dir := range []string{data, c.mounts(name)} {
		if err := os.MkdirAll(dir, 0o711); err != nil {
			return nil, err
		}
	}
	common := fmt.Sprintf(`
name                 = %q
bind_addr            = "127.0.0.1"
data_dir             = %q
log_level            = "DEBUG"
disable_update_check = true
limits {
  http_max_conns_per_client = 0
  rpc_max_conns_per_client  = 0
}
ports {
  http = %d
  rpc  = %d
  serf = %d
}
advertise {
  http = "127.0.0.1"
  rpc  = "127.0.0.1"
  serf = "127.0.0.1"
}
`, name, data, ports[0], ports[1], ports[2])
	file := filepath.Join(c.dir, name+".hcl")
	if err := os.WriteFile(file, []byte(common+config), 0o600); err != nil {
		return nil, err
	}
	p := &agentProcess{ended: make(chan struct{}), log: filepath.Join(c.dir, name+".log")}
	log, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p.cmd = exec.Command(filepath.Join(b.bin, "nomad"), "agent", "-config", file)
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "AWS_CA_BUNDLE=") { // breaks a fingerprinter, though it is denied
			p.cmd.Env = append(p.cmd.Env, v)
		}
	}
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

// gone is an error if an agent has ended.
func (c *cluster) gone() error {
	for _, p := range c.clients {
		if err := p.gone(); err != nil {
			return err
		}
	}
	return c.server.gone()
}

func (p *agentProcess) gone() error {
	select {
	case <-p.ended:
		return fmt.Errorf("the agent with the log %s has ended", p.log)
	default:
		return nil
	}
}

// stop ends all that was started. Jobs were stopped before, if all went well.
func (c *cluster) stop() {
	for _, p := range append(slices.Collect(maps.Values(c.clients)), c.server) {
		if p != nil {
			_ = p.cmd.Process.Kill()
			<-p.ended
		}
	}
	// What outlives an agent.
	for range 100 {
		pids := pidsOf(pluginProcess, supervisorProcess, executorProcess, logmonProcess)
		if len(pids) == 0 {
			return
		}
		kill(pids)
		time.Sleep(20 * time.Millisecond)
	}
}

// logs are the last lines of the clients' logs.
func (c *cluster) logs() string {
	var tails strings.Builder
	for name, p := range c.clients {
		text, _ := os.ReadFile(p.log)
		fmt.Fprintf(&tails, "%s: ...%s\n", name, text[max(0, len(text)-1000):])
	}
	return tails.String()
}

// job is a batch job of some tasks of a subject.
func (s subject) job(id string, config map[string]any, count int) *api.Job {
	j := api.NewBatchJob(id, id, "global", 50)
	zero, no := 0, false
	j.Reschedule = &api.ReschedulePolicy{Attempts: &zero, Unlimited: &no}
	j.Constrain(api.NewConstraint("${node.class}", "=", s.client))
	task := api.NewTask("t", s.driver)
	task.Config = config
	cpu, mb, files := 20, 64, 1
	task.Resources = &api.Resources{CPU: &cpu, MemoryMB: &mb}
	task.LogConfig = &api.LogConfig{MaxFiles: &files, MaxFileSizeMB: &files}
	group := api.NewTaskGroup("g", count)
	mode, attempts, disk := "fail", 0, 10
	group.RestartPolicy = &api.RestartPolicy{Attempts: &attempts, Mode: &mode}
	group.EphemeralDisk = &api.EphemeralDisk{SizeMB: &disk}
	return j.AddTaskGroup(group.AddTask(task))
}

func (c *cluster) register(j *api.Job) error {
	_, _, err := c.Jobs().Register(j, nil)
	return err
}

// allocations waits until count allocations of a job are as they should be.
func (c *cluster) allocations(id string, count int, done func(*api.TaskState) bool) ([]*api.AllocationListStub, error) {
	var all []*api.AllocationListStub
	err := eventually("job "+id, 200*time.Millisecond, func() (bool, error) {
		var err error
		if all, _, err = c.Jobs().Allocations(id, true, nil); err != nil {
			return false, c.gone()
		}
		finished := 0
		for _, a := range all {
			s := a.TaskStates["t"]
			if s == nil {
				continue
			}
			if s.Failed {
				return false, errors.New(explain(s))
			}
			if done(s) {
				finished++
			}
		}
		return finished >= count, c.gone()
	})
	return all, err
}

func running(s *api.TaskState) bool { return s.State == "running" }
func dead(s *api.TaskState) bool    { return s.State == "dead" }

func explain(s *api.TaskState) string {
	var texts []string
	for _, e := range s.Events {
		texts = append(texts, e.Type+": "+e.DisplayMessage)
	}
	return strings.Join(texts, "; ")
}

// Task events.
const (
	received   = api.TaskReceived
	begun      = api.TaskStarted
	terminated = api.TaskTerminated
)

// at is when a task event was, zero if there was none.
func at(s *api.TaskState, kind string) time.Time {
	for _, e := range slices.Backward(s.Events) {
		if e.Type == kind {
			return time.Unix(0, e.Time)
		}
	}
	return time.Time{}
}

// purge ends a job and waits until its tasks are gone.
func (c *cluster) purge(id string) error {
	if _, _, err := c.Jobs().Deregister(id, false, nil); err != nil {
		return err
	}
	err := eventually("the end of job "+id, 200*time.Millisecond, func() (bool, error) {
		all, _, err := c.Jobs().Allocations(id, true, nil)
		if err != nil {
			return false, c.gone()
		}
		for _, a := range all {
			if a.ClientStatus != "complete" && a.ClientStatus != "failed" {
				return false, c.gone()
			}
		}
		return true, nil
	})
	if err != nil {
		return err
	}
	if _, _, err := c.Jobs().Deregister(id, true, nil); err != nil {
		return err
	}
	if err := c.System().GarbageCollect(); err != nil {
		return err
	}
	return eventually("the processes of job "+id, 100*time.Millisecond, func() (bool, error) {
		return len(pidsOf(supervisorProcess, executorProcess, logmonProcess)) == 0, nil
	})
}

// first is when the first event of a kind was, of all tasks.
func first(all []*api.AllocationListStub, kind string) (t time.Time) {
	for _, a := range all {
		if event := at(a.TaskStates["t"], kind); t.IsZero() || event.Before(t) {
			t = event
		}
	}
	return t
}

// last is when the last one was.
func last(all []*api.AllocationListStub, kind string) (t time.Time) {
	for _, a := range all {
		if event := at(a.TaskStates["t"], kind); event.After(t) {
			t = event
		}
	}
	return t
}
