// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"github.com/hashicorp/nomad/plugins/base"
	"github.com/hashicorp/nomad/plugins/drivers"
	"github.com/hashicorp/nomad/plugins/drivers/fsisolation"
	"github.com/hashicorp/nomad/plugins/shared/hclspec"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"

	"github.com/burin-labs/nomad-driver-harn/driver"
)

const (
	// floorProgram is the name under which this program is the plugin of the
	// driver "floor".
	floorProgram = "nomad-driver-floor"
	// floorWithoutLogs is its argument by which Nomad collects no logs of its
	// tasks, which write to /dev/null.
	floorWithoutLogs = "-without-logs"
)

// floorDriver does the least that a driver can do, as an instrument: what is
// slower in another driver is that driver's, the rest is Nomad's. Its tasks run
// as root, whatever user they have, in nothing but their directory. They are
// children of the plugin and cannot be recovered.
type floorDriver struct {
	drivers.DriverExecTaskNotSupported
	withoutLogs bool
	stats       floorStats

	lock  sync.Mutex
	tasks map[string]*floorTask
}

var _ drivers.DriverPlugin = (*floorDriver)(nil)

func serveFloor(args []string) {
	logger := hclog.New(&hclog.LoggerOptions{Level: hclog.Info, JSONFormat: true})
	d := &floorDriver{tasks: map[string]*floorTask{}, withoutLogs: len(args) == 1 && args[0] == floorWithoutLogs}
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: base.Handshake,
		Plugins: map[string]plugin.Plugin{
			base.PluginTypeBase:   &base.PluginBase{Impl: d},
			base.PluginTypeDriver: drivers.NewDriverPlugin(d, logger),
		},
		GRPCServer: func(options []grpc.ServerOption) *grpc.Server {
			return plugin.DefaultGRPCServer(append(options, grpc.UnaryInterceptor(driver.CompleteCapabilities(d))))
		},
		Logger: logger,
	})
}

func (d *floorDriver) PluginInfo() (*base.PluginInfoResponse, error) {
	return &base.PluginInfoResponse{
		Type: base.PluginTypeDriver, PluginApiVersions: []string{drivers.ApiVersion010}, PluginVersion: "1.0.0", Name: floor,
	}, nil
}

func (d *floorDriver) ConfigSchema() (*hclspec.Spec, error) {
	return hclspec.NewObject(map[string]*hclspec.Spec{}), nil
}

func (d *floorDriver) SetConfig(*base.Config) error { return nil }

func (d *floorDriver) TaskConfigSchema() (*hclspec.Spec, error) {
	return hclspec.NewObject(map[string]*hclspec.Spec{
		"command": hclspec.NewAttr("command", "string", true),
		"args":    hclspec.NewAttr("args", "list(string)", false),
	}), nil
}

// floorConfig is the config block of a task.
type floorConfig struct {
	Command string   `codec:"command"`
	Args    []string `codec:"args"`
}

func (d *floorDriver) Capabilities() (*drivers.Capabilities, error) {
	return &drivers.Capabilities{SendSignals: true, FSIsolation: fsisolation.None, DisableLogCollection: d.withoutLogs}, nil
}

func (d *floorDriver) Fingerprint(ctx context.Context) (<-chan *drivers.Fingerprint, error) {
	ch := make(chan *drivers.Fingerprint, 1)
	ch <- &drivers.Fingerprint{Health: drivers.HealthStateHealthy, HealthDescription: drivers.DriverHealthy}
	context.AfterFunc(ctx, func() { close(ch) })
	return ch, nil
}

func (d *floorDriver) TaskEvents(ctx context.Context) (<-chan *drivers.TaskEvent, error) {
	ch := make(chan *drivers.TaskEvent)
	context.AfterFunc(ctx, func() { close(ch) })
	return ch, nil
}

func (d *floorDriver) RecoverTask(h *drivers.TaskHandle) error {
	return fmt.Errorf("recovering task %s: the driver %s recovers none", h.Config.ID, floor)
}

// floorTask is a child of the plugin.
type floorTask struct {
	id, name string
	process  *os.Process
	started  time.Time

	done   chan struct{} // closed when what follows is known
	ended  time.Time
	result *drivers.ExitResult
}

func (d *floorDriver) StartTask(cfg *drivers.TaskConfig) (*drivers.TaskHandle, *drivers.DriverNetwork, error) {
	var config floorConfig
	if err := cfg.DecodeDriverConfig(&config); err != nil {
		return nil, nil, fmt.Errorf("decoding the task's config block: %w", err)
	}
	cmd := exec.Command(config.Command, config.Args...)
	cmd.Dir, cmd.Env = cfg.TaskDir().Dir, cfg.EnvList()
	if !filepath.IsAbs(cmd.Path) {
		cmd.Path = filepath.Join(cmd.Dir, config.Command)
	}
	for _, output := range []struct {
		file *io.Writer
		path string
	}{{&cmd.Stdout, cfg.StdoutPath}, {&cmd.Stderr, cfg.StderrPath}} {
		if d.withoutLogs {
			break // /dev/null
		}
		f, err := os.OpenFile(output.path, os.O_WRONLY, 0)
		if err != nil {
			return nil, nil, err
		}
		defer f.Close()
		*output.file = f
	}
	t := &floorTask{id: cfg.ID, name: cfg.Name, started: time.Now(), done: make(chan struct{})}
	if err := cmd.Start(); err != nil {
		return nil, nil, err
	}
	t.process = cmd.Process
	go t.wait(cmd)
	d.lock.Lock()
	d.tasks[cfg.ID] = t
	d.lock.Unlock()
	handle := drivers.NewTaskHandle(1)
	handle.Config, handle.State = cfg, drivers.TaskStateRunning
	return handle, nil, nil
}

func (t *floorTask) wait(cmd *exec.Cmd) {
	err := cmd.Wait()
	t.result = &drivers.ExitResult{}
	if exited := new(exec.ExitError); errors.As(err, &exited) {
		status := exited.Sys().(syscall.WaitStatus)
		if status.Signaled() {
			t.result.Signal = int(status.Signal())
		} else {
			t.result.ExitCode = status.ExitStatus()
		}
	} else {
		t.result.Err = err
	}
	t.ended = time.Now()
	close(t.done)
}

func (d *floorDriver) task(id string) (*floorTask, error) {
	d.lock.Lock()
	defer d.lock.Unlock()
	if t := d.tasks[id]; t != nil {
		return t, nil
	}
	return nil, drivers.ErrTaskNotFound
}

func (d *floorDriver) WaitTask(ctx context.Context, id string) (<-chan *drivers.ExitResult, error) {
	t, err := d.task(id)
	if err != nil {
		return nil, err
	}
	ch := make(chan *drivers.ExitResult, 1)
	go func() {
		defer close(ch)
		select {
		case <-ctx.Done():
		case <-t.done:
			ch <- t.result
		}
	}()
	return ch, nil
}

func (d *floorDriver) StopTask(id string, timeout time.Duration, signal string) error {
	if err := d.SignalTask(id, signal); err != nil {
		return err
	}
	t, err := d.task(id)
	if err != nil {
		return err
	}
	select {
	case <-t.done:
	case <-time.After(timeout):
		t.kill()
	}
	return nil
}

func (t *floorTask) kill() {
	_ = t.process.Kill() // an error says that it has ended
	<-t.done
}

func (d *floorDriver) DestroyTask(id string, _ bool) error {
	t, err := d.task(id)
	if err != nil {
		return err
	}
	t.kill()
	d.lock.Lock()
	defer d.lock.Unlock()
	delete(d.tasks, id)
	return nil
}

func (d *floorDriver) SignalTask(id, signal string) error {
	t, err := d.task(id)
	if err != nil {
		return err
	}
	number := unix.SIGINT // Nomad's own default
	if signal != "" {
		if number = unix.SignalNum(signal); number == 0 {
			return fmt.Errorf("unknown signal %q, expected a name such as SIGTERM", signal)
		}
	}
	if err := t.process.Signal(number); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

func (d *floorDriver) InspectTask(id string) (*drivers.TaskStatus, error) {
	t, err := d.task(id)
	if err != nil {
		return nil, err
	}
	status := &drivers.TaskStatus{ID: t.id, Name: t.name, StartedAt: t.started, State: drivers.TaskStateRunning}
	select {
	case <-t.done:
		status.State, status.CompletedAt, status.ExitResult = drivers.TaskStateExited, t.ended, t.result
	default:
	}
	return status, nil
}

func (d *floorDriver) TaskStats(ctx context.Context, id string, interval time.Duration) (<-chan *drivers.TaskResourceUsage, error) {
	if _, err := d.task(id); err != nil {
		return nil, err
	}
	return d.stats.subscribe(ctx, interval), nil
}

// floorStats sends what nobody has measured to all subscribers at once, at the
// interval of the first one: a client has one for all tasks. What is left of
// the cost of stats is that of gRPC.
type floorStats struct {
	once        sync.Once
	lock        sync.Mutex
	subscribers map[chan *drivers.TaskResourceUsage]bool
}

func (s *floorStats) subscribe(ctx context.Context, interval time.Duration) <-chan *drivers.TaskResourceUsage {
	s.once.Do(func() {
		s.subscribers = map[chan *drivers.TaskResourceUsage]bool{}
		go s.send(interval)
	})
	ch := make(chan *drivers.TaskResourceUsage, 1)
	ch <- floorUsage(time.Now())
	s.lock.Lock()
	s.subscribers[ch] = true
	s.lock.Unlock()
	context.AfterFunc(ctx, func() {
		s.lock.Lock()
		defer s.lock.Unlock()
		delete(s.subscribers, ch)
		close(ch)
	})
	return ch
}

func (s *floorStats) send(interval time.Duration) {
	for now := range time.Tick(interval) {
		usage := floorUsage(now)
		s.lock.Lock()
		for ch := range s.subscribers {
			select {
			case ch <- usage:
			default: // it has yet to read the last one
			}
		}
		s.lock.Unlock()
	}
}

// floorUsage has what harn's tasks report: a process, and what cgroups count.
func floorUsage(now time.Time) *drivers.TaskResourceUsage {
	const mb = 1 << 20
	memory := []string{"RSS", "Swap"}
	cpu := []string{"System Mode", "User Mode", "Percent"}
	return &drivers.TaskResourceUsage{
		Timestamp: now.UTC().UnixNano(),
		ResourceUsage: &drivers.ResourceUsage{
			MemoryStats: &drivers.MemoryStats{
				RSS: mb, Cache: mb, MappedFile: mb, Usage: mb, MaxUsage: mb, KernelUsage: mb, KernelMaxUsage: mb,
				Measured: []string{"RSS", "Cache", "Swap", "Mapped File", "Usage", "Max Usage", "Kernel Usage", "Kernel Max Usage"},
			},
			CpuStats: &drivers.CpuStats{
				UserMode: 1, SystemMode: 1, Percent: 2, TotalTicks: 40,
				Measured: append(cpu[:3:3], "Total Ticks", "Throttled Periods", "Throttled Time"),
			},
		},
		Pids: map[string]*drivers.ResourceUsage{"10000": {
			MemoryStats: &drivers.MemoryStats{RSS: mb, Measured: memory},
			CpuStats:    &drivers.CpuStats{UserMode: 1, SystemMode: 1, Percent: 2, Measured: cpu},
		}},
	}
}
