// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Package driver is a Nomad task driver: it translates between Nomad's driver
// interface and plans for the executor.
package driver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/nomad/drivers/shared/eventer"
	"github.com/hashicorp/nomad/nomad/structs"
	"github.com/hashicorp/nomad/plugins/base"
	"github.com/hashicorp/nomad/plugins/drivers"
	"github.com/hashicorp/nomad/plugins/drivers/fsisolation"
	"github.com/hashicorp/nomad/plugins/shared/hclspec"
	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/cgroup"
	"github.com/burin-labs/nomad-driver-harn/denials"
	"github.com/burin-labs/nomad-driver-harn/egress"
	"github.com/burin-labs/nomad-driver-harn/executor"
	"github.com/burin-labs/nomad-driver-harn/internal/plain"
	"github.com/burin-labs/nomad-driver-harn/landlock"
	"github.com/burin-labs/nomad-driver-harn/meter"
	"github.com/burin-labs/nomad-driver-harn/metrics"
	"github.com/burin-labs/nomad-driver-harn/policy"
	"github.com/burin-labs/nomad-driver-harn/sandbox"
	"github.com/burin-labs/nomad-driver-harn/version"
)

// Name is the driver's name in jobs: driver = "harn".
const Name = "harn"

// Driver is the driver plugin. It keeps nothing that it could not find again:
// losing it loses no task.
type Driver struct {
	ctx     context.Context
	logger  hclog.Logger
	events  *eventer.Eventer
	send    func(*drivers.TaskEvent) error // to events
	tasks   *taskStore
	compute compute
	sampler meter.Sampler
	changes sync.RWMutex // held for reading while a request changes what runs
	sweeper sync.Once
	auditor sync.Once
	denials *denials.Watcher // nil where denials are not reported; see watchDenials
	copies  sandbox.HostFiles
	copier  sync.Once
	egress  struct {
		lock    sync.Mutex
		try     func() error // finds out
		works   bool
		refused string // why it did not work the last time
	}
	server sync.Once // of metrics
	typos  sync.Once // see warnOfUnknownUsers

	lock    sync.RWMutex
	config  *Config
	metrics *metrics.Metrics    // nil if nobody reads them
	agent   []sandbox.AgentPath // see agentPaths
}

var (
	_ drivers.DriverPlugin            = (*Driver)(nil)
	_ drivers.ExecTaskStreamingDriver = (*Driver)(nil)
)

// New makes the driver. ctx ends its goroutines.
func New(ctx context.Context, logger hclog.Logger) *Driver {
	logger = plainLogger{logger.Named(Name)}
	events := eventer.NewEventer(ctx, logger)
	d := &Driver{
		ctx:    ctx,
		logger: logger,
		events: events,
		send:   events.EmitEvent,
		tasks:  newTaskStore(),
		config: &Config{Settings: sandbox.Settings{Ceiling: &policy.Policy{}}, sweepPeriod: defaultSweepPeriod},
	}
	d.egress.try = egress.Works
	return d
}

// PluginInfo implements base.BasePlugin.
func (d *Driver) PluginInfo() (*base.PluginInfoResponse, error) {
	return &base.PluginInfoResponse{
		Type:              base.PluginTypeDriver,
		PluginApiVersions: []string{drivers.ApiVersion010},
		PluginVersion:     version.Version,
		Name:              Name,
	}, nil
}

// ConfigSchema implements base.BasePlugin.
func (d *Driver) ConfigSchema() (*hclspec.Spec, error) { return nomadsSpec, nil }

// SetConfig implements base.BasePlugin. Nomad's loader calls it in processes
// that it kills right after, without an agent's configuration: it must do
// nothing but take the configuration over. An error stops the agent.
func (d *Driver) SetConfig(c *base.Config) error {
	var config Config
	if len(c.PluginConfig) > 0 {
		err := decode(configSpec, &config, func(tree any) error { return base.MsgPackDecode(c.PluginConfig, tree) })
		if err != nil {
			return plain.Error(fmt.Errorf("plugin %q config: %w", Name, err))
		}
	}
	if err := config.validate(); err != nil {
		return plain.Error(fmt.Errorf("plugin %q config: %w", Name, err))
	}
	if err := checkVersions(config.StateDir); err != nil {
		return plain.Error(fmt.Errorf("plugin %q: %w", Name, err))
	}
	d.lock.Lock()
	defer d.lock.Unlock()
	d.config = &config
	d.countFor(&config)
	if c.AgentConfig != nil {
		d.compute.set(c.AgentConfig)
	}
	return nil
}

func (d *Driver) currentConfig() *Config {
	d.lock.RLock()
	defer d.lock.RUnlock()
	return d.config
}

// agentPaths are the agent's own files and directories. They stay what they are
// as long as the agent lives; once it has started a task, it has all of them open.
func (d *Driver) agentPaths() []sandbox.AgentPath {
	d.lock.Lock()
	defer d.lock.Unlock()
	if d.agent == nil {
		d.agent = sandbox.AgentPaths()
	}
	return d.agent
}

// TaskConfigSchema implements drivers.DriverPlugin.
func (d *Driver) TaskConfigSchema() (*hclspec.Spec, error) { return nomadsTaskSpec, nil }

// Capabilities implements drivers.DriverPlugin.
func (d *Driver) Capabilities() (*drivers.Capabilities, error) {
	return &drivers.Capabilities{
		SendSignals: true,
		Exec:        true,
		// Nomad mounts the task's directories where only its user can reach them.
		FSIsolation:          fsisolation.Unveil,
		NetIsolationModes:    []drivers.NetIsolationMode{drivers.NetIsolationModeHost, drivers.NetIsolationModeGroup},
		MountConfigs:         drivers.MountConfigSupportAll, // without it a client refuses volumes
		DynamicWorkloadUsers: true,
		DisableLogCollection: d.currentConfig().collector() == byDriver, // by Nomad
	}, nil
}

// Fingerprint implements drivers.DriverPlugin.
func (d *Driver) Fingerprint(ctx context.Context) (<-chan *drivers.Fingerprint, error) {
	ch := make(chan *drivers.Fingerprint)
	// Only in a process that is to serve tasks is this called.
	d.watchDenials()
	d.sweeper.Do(func() { go d.sweepAll() })
	d.serveMetrics()
	d.typos.Do(func() { go d.warnOfUnknownUsers() })
	go d.fingerprint(ctx, ch)
	return ch, nil
}

// warnOfUnknownUsers tells the operator of names in denied_users that deny nobody. A
// directory service may take its time.
func (d *Driver) warnOfUnknownUsers() {
	if names := d.currentConfig().UnknownDeniedUsers(); len(names) > 0 {
		d.logger.Warn("denied_users has names that no user of this host has, and that deny nobody", "names", names)
	}
}

// RecoverTask implements drivers.DriverPlugin. It finds a task of an earlier
// plugin process. A task that has ended meanwhile is found as well: WaitTask
// then returns its true result.
func (d *Driver) RecoverTask(handle *drivers.TaskHandle) error {
	if handle == nil || handle.Config == nil {
		return errors.New("recovering a task: Nomad gave no handle")
	}
	if _, ok := d.tasks.get(handle.Config.ID); ok {
		return nil
	}
	err := d.recover(handle)
	d.count().Recovered(err)
	return err
}

func (d *Driver) recover(handle *drivers.TaskHandle) error {
	cfg := handle.Config
	if err := executor.CheckVersion("its handle", handle.Version); err != nil {
		return fmt.Errorf("recovering task %s: %w", plain.Name(cfg.ID), err)
	}
	var state TaskState
	if err := handle.GetDriverState(&state); err != nil {
		return fmt.Errorf("recovering task %s: decoding its handle: %w", plain.Name(cfg.ID), err)
	}
	// The handle is Nomad's word, but not Nomad's only: its data directory is on a disk.
	if err := state.check(cfg.ID, cfg.AllocID, cfg.Name); err != nil {
		return fmt.Errorf("recovering task %s: its handle is not of this task: %w", cfg.ID, err)
	}
	task, err := executor.Attach(cfg.ID, state.StateDir, state.Cgroup.Own())
	if err == nil && task.Rebooted() {
		// The task is not to blame: an error makes Nomad start it anew without
		// counting that as one of its restarts.
		err = executor.ErrRebooted
	}
	if err == nil {
		var release func()
		if release, err = d.tasks.claimUser(cfg.ID, holderOf(cfg, state.UserName, task.User().UID)); err == nil {
			defer release()
		}
	}
	if err != nil {
		// Nomad will start it anew: nothing of it may be left.
		if cleanup := discard(cfg.ID, &state); cleanup != nil {
			err = plain.Join(err, cleanup)
		}
		return plain.Error(fmt.Errorf("recovering task %s from %s: %w", plain.Name(cfg.ID), plain.Name(state.StateDir), err))
	}
	d.adopt(cfg, state, task)
	d.logger.Debug("recovered task", "task_id", cfg.ID, "pid", task.PID())
	return nil
}

func (d *Driver) adopt(cfg *drivers.TaskConfig, state TaskState, task *executor.Task) {
	h := &taskHandle{config: cfg, state: state, task: task, cgroup: &state.Cgroup, compute: &d.compute, sampler: &d.sampler}
	h.meter = meter.New(h.cgroup, h.pids)
	denied := d.watchDenials().Follow(d.denied(h), d.logger.Warn)
	reported := make(chan struct{})
	h.reported = reported
	go func() {
		defer close(reported)
		d.reportOOM(h)
		<-denied
	}()
	d.copier.Do(func() { go d.followHost() })
	d.tasks.set(h)
}

// watchDenials starts to read the audit log, once, if that is wanted and works.
// It returns nil if not.
func (d *Driver) watchDenials() *denials.Watcher {
	d.auditor.Do(func() {
		reader, err := denials.Open(d.currentConfig().DenialEvents)
		if err != nil {
			d.logger.Info("what tasks are denied is not reported", "reason", err)
			return
		}
		d.denials = denials.New(d.logger.Warn)
		go d.denials.Read(reader)
	})
	return d.denials
}

// denied is a task as the watcher of denials follows it.
func (d *Driver) denied(h *taskHandle) *denials.Task {
	t := &denials.Task{
		ID: h.config.ID, AllocID: h.config.AllocID, Name: h.config.Name, AllocDir: h.config.AllocDir, Dir: h.state.TaskDir,
		PID: h.task.PID(), Supervisor: h.task.Supervisor().PID, UID: h.task.User().UID, Dynamic: sandbox.IsDynamic(h.state.UserName),
		Cgroup: h.cgroup.Own(), Places: h.state.Places, Filter: h.task.Filter(), Done: h.task.Done(),
		Emit: func(message string) { d.emit(h.config, message) }, Count: d.countDenial,
	}
	if events := openEgressEvents(h.state.StateDir); events != nil {
		t.Egress = events
	}
	return t
}

// noMemoryLimit is from where on a limit of memory is none: cgroups v1 have a number for
// that, in pages the highest of 63 bits.
const noMemoryLimit = 1 << 62

// reportOOM tells the task's user, by a task event, that the kernel has killed
// a process of the task for want of memory.
func (d *Driver) reportOOM(h *taskHandle) {
	exit, err := h.task.Exit()
	if err != nil || !exit.OOMKilled {
		return
	}
	limit, used, err := meter.MemoryLimit(h.cgroup)
	if err != nil {
		limit = 0
	}
	d.emit(h.config, describeOOM(limit, used))
}

// describeOOM is what there is to say to a task that was killed for want of memory.
func describeOOM(limit, used uint64) string {
	message := "Out of memory: the kernel has killed a process of the task"
	if limit > 0 && limit < noMemoryLimit {
		message += fmt.Sprintf("; the limit is %d MiB, the task used up to %d MiB: raise memory or memory_max", limit>>20, used>>20)
	}
	return message
}

// StartTask implements drivers.DriverPlugin. Every error is final for this
// task: what is wrong with a job or a node does not go away by starting again.
func (d *Driver) StartTask(cfg *drivers.TaskConfig) (*drivers.TaskHandle, *drivers.DriverNetwork, error) {
	began := time.Now()
	handle, err := d.start(cfg)
	if err != nil {
		d.count().Refused(refusedField(err))
		d.logger.Debug("refused task", "task_id", cfg.ID, "error", err)
		if d.currentConfig().collector() == byNomad {
			releaseLogs(cfg)
		}
		return nil, nil, structs.NewRecoverableError(plain.Error(err), false)
	}
	d.count().Started(time.Since(began))
	return handle, nil, nil
}

func (d *Driver) start(cfg *drivers.TaskConfig) (*drivers.TaskHandle, error) {
	if _, ok := d.tasks.get(cfg.ID); ok {
		return nil, fmt.Errorf("task %s is already started", plain.Name(cfg.ID))
	}
	config := d.currentConfig()
	if err := config.CheckStateDir(); err != nil {
		return nil, err
	}
	abi, absent := landlock.Detect()
	host := &sandbox.Host{Node: policy.Node{ABI: abi, Absent: absent}, Agent: d.agentPaths(), Cores: d.compute.count()}
	p, err := prepare(config, host, d.keepHostFiles(config.StateDir), cfg)
	if err != nil {
		return nil, err
	}
	denials.Log(&p.Plan.Confinement, abi, d.watchDenials() != nil)
	defer d.tasks.begin(p.state.StateDir)()
	if err := d.replace(cfg); err != nil {
		return nil, err
	}
	release, err := d.claimUser(cfg, p)
	if err != nil {
		return nil, err
	}
	defer release()
	task, err := d.launch(cfg, p)
	if err != nil {
		return nil, err
	}
	p.state.Supervisor = task.Supervisor()
	handle := drivers.NewTaskHandle(handleVersion)
	handle.Config = cfg
	handle.State = drivers.TaskStateRunning
	if err := handle.SetDriverState(&p.state); err != nil {
		_ = task.Remove()
		return nil, fmt.Errorf("encoding the task's handle: %w", err)
	}
	d.adopt(cfg, p.state, task)
	d.announce(cfg, p.Policy, p.Notes)
	d.logger.Debug("started task", "task_id", cfg.ID, "pid", task.PID())
	return handle, nil
}

// launch starts the task, unless it was started already: after a crash of the
// plugin during StartTask, Nomad calls it again for the same task.
func (d *Driver) launch(cfg *drivers.TaskConfig, p *prepared) (*executor.Task, error) {
	dir := p.state.StateDir
	if task, err := d.findStarted(cfg, p); task != nil || err != nil {
		return task, err
	}
	output, err := openOutput(cfg, p.Plan.Logs != nil)
	if err != nil {
		return nil, err
	}
	defer output.close()
	if err := sandbox.MakeTmp(p.state.TaskDir); err != nil {
		return nil, err
	}
	if p.Unset != "" {
		if err := sandbox.MakeExecutable(p.state.TaskDir, p.Unset); err != nil {
			return nil, err
		}
	}
	// From here on, whoever finds the record can clean up.
	if err := executor.Reserve(dir, newOwner(cfg, p.state)); err != nil {
		return nil, plain.Join(err, discard(cfg.ID, &p.state))
	}
	var task *executor.Task
	err = p.state.Cgroup.Make()
	if err == nil {
		err = p.state.Cgroup.Apply((*cgroup.Limits)(p.Cgroup))
	}
	var network *egress.Network
	if err == nil {
		network, err = joinEgress(cfg, p)
	}
	if err == nil {
		task, err = output.start(cfg.ID, dir, p.Plan)
	}
	if network != nil {
		network.Close()
	}
	if err != nil {
		return nil, plain.Join(err, discard(cfg.ID, &p.state))
	}
	return task, nil
}

// findStarted returns the task if it was started already, and discards what an attempt to
// start it has left otherwise.
func (d *Driver) findStarted(cfg *drivers.TaskConfig, p *prepared) (*executor.Task, error) {
	dir := p.state.StateDir
	if !executor.HasRecords(dir) {
		p.state.Cgroup.Remove()
		return nil, nil
	}
	executor.AwaitStart(cfg.ID, dir)
	task, err := executor.Attach(cfg.ID, dir, p.state.Cgroup.Own())
	switch {
	case err == nil:
		d.logger.Debug("found task already started", "task_id", cfg.ID, "pid", task.PID())
		return task, nil
	case !errors.Is(err, executor.ErrNotStarted):
		return nil, err
	}
	if err := discard(cfg.ID, &p.state); err != nil {
		return nil, fmt.Errorf("removing what an earlier attempt left in %s: %w", plain.Name(dir), err)
	}
	return nil, nil
}

// announce tells the task's user, by task events, what confines the task, and notes
// besides. Nomad shows the last event first.
func (d *Driver) announce(cfg *drivers.TaskConfig, plan *policy.Plan, notes []string) {
	message := "Confined: " + plan.Summary()
	if plan.Warning != "" {
		message = "Warning: " + plan.Warning
		d.logger.Warn("task is not fully confined", "task_id", cfg.ID, "reason", plan.Warning)
	}
	if notes = slices.Concat(notes, plan.Notes); len(notes) > 0 {
		d.emit(cfg, "Notes: "+sentences(notes))
	}
	d.emit(cfg, message)
}

// sentences makes a text of notes, each of which begins in lower case and ends without
// a stop. What begins with the name of a field or variable stays as it is.
func sentences(notes []string) string {
	var out []string
	for _, note := range notes {
		first, _, _ := strings.Cut(note, " ")
		if strings.Trim(first, "abcdefghijklmnopqrstuvwxyz,") == "" && first != "" {
			note = strings.ToUpper(note[:1]) + note[1:]
		}
		out = append(out, strings.TrimRight(note, ".")+".")
	}
	return strings.Join(out, " ")
}

func (d *Driver) emit(cfg *drivers.TaskConfig, message string) {
	event := &drivers.TaskEvent{
		TaskID:    cfg.ID,
		TaskName:  cfg.Name,
		AllocID:   cfg.AllocID,
		Timestamp: time.Now(),
		Message:   plain.Line(message),
	}
	if err := d.send(event); err != nil {
		d.logger.Warn("could not emit task event", "task_id", cfg.ID, "error", err)
	}
}

// WaitTask implements drivers.DriverPlugin. It can be called any number of
// times: each channel gets the result once.
func (d *Driver) WaitTask(ctx context.Context, taskID string) (<-chan *drivers.ExitResult, error) {
	h, ok := d.tasks.get(taskID)
	if !ok {
		return nil, drivers.ErrTaskNotFound
	}
	ch := make(chan *drivers.ExitResult, 1)
	go h.wait(ctx, ch)
	return ch, nil
}

// StopTask implements drivers.DriverPlugin. An unknown task is not an error:
// Nomad cannot tell that error from others over gRPC and would try again for
// minutes.
func (d *Driver) StopTask(taskID string, timeout time.Duration, signal string) error {
	h, ok := d.tasks.get(taskID)
	if !ok {
		return nil
	}
	sig := unix.SIGTERM
	if signal != "" {
		var err error
		if sig, err = parseSignal(signal); err != nil {
			// Refusing would leave the task running.
			d.emit(h.config, fmt.Sprintf("kill_signal: %v; sending SIGTERM instead", err))
			sig = unix.SIGTERM
		}
	}
	if err := h.stop(timeout, sig); err != nil {
		return plain.Error(fmt.Errorf("stopping task %s: %w", plain.Name(taskID), err))
	}
	return nil
}

// DestroyTask implements drivers.DriverPlugin. A task that this process does
// not know may be one that it could not recover: what there is of it goes. If
// there is nothing, that is not an error, as in StopTask.
func (d *Driver) DestroyTask(taskID string, force bool) error {
	h, ok := d.tasks.get(taskID)
	if !ok {
		return plain.Error(d.destroyUnknown(taskID, force))
	}
	if h.running() && !force {
		return fmt.Errorf("task %s is running: stop it first, or destroy it by force", plain.Name(taskID))
	}
	err := h.forget()
	if err != nil {
		// Nomad asks once, and passes over the error. From here on it is a task that
		// nobody knows: the sweep, its next start and its next DestroyTask remove it
		// by its records.
		d.logger.Warn("could not remove what is left of a task, and it is tried again", "task_id", taskID, "error", err)
		if h.mayRun() {
			d.tasks.abandon(h)
		} else {
			d.tasks.delete(taskID)
		}
		h.task.Detach()
		return plain.Error(err)
	}
	d.tasks.delete(taskID)
	return nil
}

// InspectTask implements drivers.DriverPlugin.
func (d *Driver) InspectTask(taskID string) (*drivers.TaskStatus, error) {
	h, ok := d.tasks.get(taskID)
	if !ok {
		return nil, drivers.ErrTaskNotFound
	}
	return h.status(), nil
}

// TaskStats implements drivers.DriverPlugin.
func (d *Driver) TaskStats(ctx context.Context, taskID string, interval time.Duration) (<-chan *drivers.TaskResourceUsage, error) {
	h, ok := d.tasks.get(taskID)
	if !ok {
		return nil, drivers.ErrTaskNotFound
	}
	ch := make(chan *drivers.TaskResourceUsage)
	go func() {
		defer close(ch)
		_ = h.stats(ctx, interval, func(report *drivers.TaskResourceUsage) error {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-h.task.Done():
				return drivers.ErrTaskNotFound
			case ch <- report:
				return nil
			}
		})
	}()
	return ch, nil
}

// TaskEvents implements drivers.DriverPlugin.
func (d *Driver) TaskEvents(ctx context.Context) (<-chan *drivers.TaskEvent, error) {
	return d.events.TaskEvents(ctx)
}

// SignalTask implements drivers.DriverPlugin. The signal goes to the task's
// first process.
func (d *Driver) SignalTask(taskID, signal string) error {
	h, ok := d.tasks.get(taskID)
	if !ok {
		return drivers.ErrTaskNotFound
	}
	sig, err := parseSignal(signal)
	if err != nil {
		return err
	}
	return plain.Error(h.task.Signal(sig))
}

// root reports whether this process can confine others.
func root() bool { return os.Geteuid() == 0 }
