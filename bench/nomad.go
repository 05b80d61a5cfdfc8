// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"errors"
	"fmt"
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

// node is a Nomad server and a client, each an agent of its own.
type node struct {
	*api.Client
	dir            string
	server, client *agentProcess
}

type agentProcess struct {
	cmd   *exec.Cmd
	ended chan struct{}
	log   string
}

// withNode runs f with a server and a client.
func (b *bench) withNode(f func(*node) error) error {
	dir, err := os.MkdirTemp(b.dir, "node-")
	if err != nil {
		return err
	}
	n := &node{dir: dir}
	defer func() {
		n.stop()
		kerneltest.UnmountBeneath(dir)
		_ = os.RemoveAll(dir)
	}()
	if err := n.start(b); err != nil {
		return fmt.Errorf("%w\n%s", err, n.logs())
	}
	if err := f(n); err != nil {
		return fmt.Errorf("%w\n%s", err, n.logs())
	}
	return nil
}

func (n *node) start(b *bench) error {
	if err := os.Chmod(n.dir, 0o755); err != nil {
		return err
	}
	ports, err := freePorts(6)
	if err != nil {
		return err
	}
	n.Client, err = api.NewClient(&api.Config{Address: fmt.Sprintf("http://127.0.0.1:%d", ports[0])})
	if err != nil {
		return err
	}
	n.server, err = n.startAgent(b, "server", ports[:3], `
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
		keys, _, err := n.Keyring().List(nil)
		return err == nil && len(keys) > 0, n.server.gone()
	})
	if err != nil {
		return err
	}
	var files strings.Builder
	for source, target := range chroot() {
		fmt.Fprintf(&files, "    %q = %q\n", source, target)
	}
	plugins := filepath.Join(n.dir, "plugins")
	if err := os.Mkdir(plugins, 0o755); err != nil {
		return err
	}
	if err := copyFile(filepath.Join(b.bin, "nomad-driver-harn"), filepath.Join(plugins, "nomad-driver-harn")); err != nil {
		return err
	}
	n.client, err = n.startAgent(b, "client", ports[3:], fmt.Sprintf(`
plugin_dir = %q
telemetry {
  publish_allocation_metrics = true # without it the client asks for no stats
}
client {
  enabled             = true
  servers             = ["127.0.0.1:%d"]
  network_interface   = "lo" # all there is in this network namespace
  alloc_mounts_dir    = %q
  cpu_total_compute   = 1000000 # so that jobs are placed, however many
  memory_total_mb     = 1000000
  gc_max_allocs       = 100000
  gc_disk_usage_threshold  = 99
  gc_inode_usage_threshold = 99
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
plugin "nomad-driver-harn" {
  config {
    state_dir = %q
  }
}
`, plugins, ports[1], n.dir+"/mounts", files.String(), n.dir+"/state"))
	if err != nil {
		return err
	}
	return eventually("the client is ready", 50*time.Millisecond, func() (bool, error) {
		nodes, _, err := n.Nodes().List(nil)
		if err != nil || len(nodes) == 0 || nodes[0].Status != "ready" {
			return false, n.client.gone()
		}
		for _, name := range allDrivers {
			if d := nodes[0].Drivers[name]; d == nil || !d.Detected || !d.Healthy {
				return false, n.client.gone()
			}
		}
		return true, nil
	})
}

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

func (n *node) startAgent(b *bench, name string, ports []int, config string) (*agentProcess, error) {
	data := filepath.Join(n.dir, name)
	for _, dir := range []string{data, n.dir + "/mounts"} {
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
	file := filepath.Join(n.dir, name+".hcl")
	if err := os.WriteFile(file, []byte(common+config), 0o600); err != nil {
		return nil, err
	}
	p := &agentProcess{ended: make(chan struct{}), log: filepath.Join(n.dir, name+".log")}
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

// gone is an error if the agent has ended.
func (p *agentProcess) gone() error {
	select {
	case <-p.ended:
		return errors.New("the agent has ended")
	default:
		return nil
	}
}

// stop ends all that was started. Jobs were stopped before, if all went well.
func (n *node) stop() {
	for _, p := range []*agentProcess{n.client, n.server} {
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

// logs are the last lines of the client's log.
func (n *node) logs() string {
	if n.client == nil {
		return ""
	}
	text, _ := os.ReadFile(n.client.log)
	return string(text[max(0, len(text)-2000):])
}

// job is a batch job of some tasks of one driver.
func job(id, driver string, config map[string]any, count int, logs bool) *api.Job {
	j := api.NewBatchJob(id, id, "global", 50)
	zero, no := 0, false
	j.Reschedule = &api.ReschedulePolicy{Attempts: &zero, Unlimited: &no}
	task := api.NewTask("t", driver)
	task.Config = config
	cpu, mb, files, disabled := 20, 64, 1, !logs
	task.Resources = &api.Resources{CPU: &cpu, MemoryMB: &mb}
	task.LogConfig = &api.LogConfig{MaxFiles: &files, MaxFileSizeMB: &files, Disabled: &disabled}
	group := api.NewTaskGroup("g", count)
	mode, attempts, disk := "fail", 0, 10
	group.RestartPolicy = &api.RestartPolicy{Attempts: &attempts, Mode: &mode}
	group.EphemeralDisk = &api.EphemeralDisk{SizeMB: &disk}
	return j.AddTaskGroup(group.AddTask(task))
}

func (n *node) register(j *api.Job) error {
	_, _, err := n.Jobs().Register(j, nil)
	return err
}

// allocations waits until count allocations of a job are as they should be.
func (n *node) allocations(id string, count int, done func(*api.TaskState) bool) ([]*api.AllocationListStub, error) {
	var all []*api.AllocationListStub
	err := eventually("job "+id, 200*time.Millisecond, func() (bool, error) {
		var err error
		if all, _, err = n.Jobs().Allocations(id, true, nil); err != nil {
			return false, n.server.gone()
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
		return finished >= count, n.client.gone()
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
func (n *node) purge(id string) error {
	if _, _, err := n.Jobs().Deregister(id, false, nil); err != nil {
		return err
	}
	err := eventually("the end of job "+id, 200*time.Millisecond, func() (bool, error) {
		all, _, err := n.Jobs().Allocations(id, true, nil)
		if err != nil {
			return false, n.server.gone()
		}
		for _, a := range all {
			if a.ClientStatus != "complete" && a.ClientStatus != "failed" {
				return false, n.client.gone()
			}
		}
		return true, nil
	})
	if err != nil {
		return err
	}
	if _, _, err := n.Jobs().Deregister(id, true, nil); err != nil {
		return err
	}
	if err := n.System().GarbageCollect(); err != nil {
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
