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
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"github.com/hashicorp/nomad/client/allocdir"
	"github.com/hashicorp/nomad/client/lib/cgroupslib"
	"github.com/hashicorp/nomad/client/lib/numalib"
	execdriver "github.com/hashicorp/nomad/drivers/exec"
	"github.com/hashicorp/nomad/drivers/rawexec"
	"github.com/hashicorp/nomad/helper/uuid"
	"github.com/hashicorp/nomad/nomad/structs"
	"github.com/hashicorp/nomad/plugins"
	"github.com/hashicorp/nomad/plugins/base"
	"github.com/hashicorp/nomad/plugins/drivers"
	"github.com/hashicorp/nomad/plugins/drivers/fsisolation"
	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/internal/drivertest"
)

// peerCommand makes this program the plugin process of a driver that is built
// into Nomad.
const peerCommand = "peer"

func servePeer(name string) {
	plugins.ServeCtx(func(ctx context.Context, logger hclog.Logger) any {
		if name == rawExec {
			return rawexec.NewRawExecDriver(ctx, logger)
		}
		return execdriver.NewExecDriver(ctx, logger)
	})
}

// driverProcess is a driver in a plugin process of its own, reached by gRPC as
// Nomad's client does. There is no agent.
type driverProcess struct {
	drivers.DriverPlugin
	name   string
	dir    string
	client *plugin.Client
	cmd    *exec.Cmd
	fsi    fsisolation.Mode
}

// startDriver starts a driver's plugin process. dir is for its tasks: they can
// be recovered by another one with the same dir.
func (b *bench) startDriver(name, dir string) (*driverProcess, error) {
	if err := drivertest.InitCgroups(); err != nil {
		return nil, err
	}
	for _, sub := range []string{"alloc", "mounts"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o711); err != nil {
			return nil, err
		}
	}
	logger := hclog.NewNullLogger()
	p := &driverProcess{name: name, dir: dir}
	switch name {
	case harn:
		p.cmd = exec.Command(filepath.Join(b.bin, harnProgram))
	case floor:
		p.cmd = exec.Command("/proc/self/exe")
		p.cmd.Args = []string{floorProgram}
	default:
		program, err := b.peerProgram(dir)
		if err != nil {
			return nil, err
		}
		p.cmd = exec.Command(program, peerCommand, name)
	}
	p.client = plugin.NewClient(&plugin.ClientConfig{
		HandshakeConfig: base.Handshake,
		Plugins: map[string]plugin.Plugin{
			base.PluginTypeBase:   &base.PluginBase{},
			base.PluginTypeDriver: drivers.NewDriverPlugin(nil, logger),
		},
		Cmd:              p.cmd,
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
		Logger:           logger,
	})
	rpc, err := p.client.Client()
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	raw, err := rpc.Dispense(base.PluginTypeDriver)
	if err != nil {
		p.client.Kill()
		return nil, err
	}
	p.DriverPlugin = raw.(drivers.DriverPlugin)
	if p.builtIn() {
		// The driver starts its executors from the program that it runs. From now
		// on that is Nomad's, as in an agent.
		if err := unix.Mount(filepath.Join(b.bin, "nomad"), p.cmd.Path, "", unix.MS_BIND, ""); err != nil {
			p.client.Kill()
			return nil, fmt.Errorf("mounting nomad: %w", err)
		}
	}
	if err := p.configure(); err != nil {
		p.client.Kill()
		return nil, fmt.Errorf("configuring %s: %w", name, err)
	}
	caps, err := p.Capabilities()
	if err != nil {
		p.client.Kill()
		return nil, err
	}
	p.fsi = caps.FSIsolation
	return p, nil
}

// builtIn is whether the driver is one of Nomad's.
func (p *driverProcess) builtIn() bool { return slices.Contains(nomadsOwn, p.name) }

func (p *driverProcess) configure() error {
	config := map[string]any{}
	switch p.name {
	case harn:
		config["state_dir"] = filepath.Join(p.dir, "state")
		config["ceiling"] = map[string]any{"sandbox_profile": "unrestricted"} // so that all profiles can be compared
	case rawExec:
		config["enabled"] = true
	case execDrv:
		config["default_pid_mode"], config["default_ipc_mode"] = "private", "private"
	}
	var data []byte
	if err := base.MsgPackEncode(&data, config); err != nil {
		return err
	}
	return p.SetConfig(&base.Config{
		ApiVersion:   drivers.ApiVersion010,
		PluginConfig: data,
		AgentConfig: &base.AgentConfig{Driver: &base.ClientDriverConfig{
			ClientMinPort: 14000, ClientMaxPort: 14512,
			Topology: topology(),
		}},
	})
}

var topology = sync.OnceValue(func() *numalib.Topology { return numalib.Scan(numalib.PlatformScanners(true)) })

// peerProgram is a copy of this program for a peer's plugin process.
func (b *bench) peerProgram(dir string) (string, error) {
	f, err := os.CreateTemp(dir, "peer-")
	if err != nil {
		return "", err
	}
	defer f.Close()
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		return "", err
	}
	defer self.Close()
	if _, err := io.Copy(f, self); err != nil {
		return "", err
	}
	return f.Name(), f.Chmod(0o755)
}

// crash kills the plugin process.
func (p *driverProcess) crash() {
	_ = p.cmd.Process.Kill()
	p.client.Kill()
}

func (p *driverProcess) stop() {
	p.client.Kill()
	if p.builtIn() {
		_ = unix.Unmount(p.cmd.Path, unix.MNT_DETACH)
	}
}

// task is one task of a driverProcess, prepared as the client does it.
type task struct {
	driver *driverProcess
	config *drivers.TaskConfig
	dir    *allocdir.TaskDir
	handle *drivers.TaskHandle
	output *os.File // what it writes to its stdout, if that is captured
	undo   []func()
}

// chroot is what exec's tasks find, beside their own directories.
func chroot() map[string]string {
	files := map[string]string{}
	for link, target := range map[string]string{
		"/usr/bin/true": "/bin/true", "/usr/bin/sleep": "/bin/sleep", "/bin/true": "/bin/true", "/bin/sleep": "/bin/sleep",
		"/lib/x86_64-linux-gnu/libc.so.6":  "/lib/x86_64-linux-gnu/libc.so.6",
		"/lib/aarch64-linux-gnu/libc.so.6": "/lib/aarch64-linux-gnu/libc.so.6",
		"/lib64/ld-linux-x86-64.so.2":      "/lib64/ld-linux-x86-64.so.2",
		"/lib/ld-linux-aarch64.so.1":       "/lib/ld-linux-aarch64.so.1",
	} {
		if file, err := filepath.EvalSymlinks(link); err == nil { // Nomad cannot embed links
			files[file] = target
		}
	}
	return files
}

// prepare makes a task's directories and cgroup. config is its config block.
// files are copied to its local directory.
func (p *driverProcess) prepare(config map[string]any, capture bool, files ...string) (t *task, err error) {
	t = &task{driver: p, config: &drivers.TaskConfig{
		AllocID: uuid.Generate(), Name: "t", JobName: "bench", TaskGroupName: "g", Namespace: "default",
		User: "nobody", Env: map[string]string{},
	}}
	defer func() {
		if err != nil {
			t.destroy()
		}
	}()
	cfg := t.config
	cfg.ID = cfg.AllocID + "/t/" + uuid.Short()
	life := cgroupslib.Factory(cfg.AllocID, cfg.Name, false)
	if err := life.Setup(); err != nil {
		return nil, err
	}
	t.undo = append(t.undo, func() { _ = life.Teardown() })
	cfg.Resources = &drivers.Resources{
		NomadResources: &structs.AllocatedTaskResources{
			Cpu:    structs.AllocatedCpuResources{CpuShares: 500},
			Memory: structs.AllocatedMemoryResources{MemoryMB: 1024},
		},
		LinuxResources: &drivers.LinuxResources{
			CPUShares: 500, MemoryLimitBytes: 1 << 30,
			CpusetCgroupPath: cgroupslib.LinuxResourcesPath(cfg.AllocID, cfg.Name, false),
		},
	}
	if err := cfg.EncodeConcreteDriverConfig(config); err != nil {
		return nil, err
	}

	alloc := allocdir.NewAllocDir(hclog.NewNullLogger(), filepath.Join(p.dir, "alloc"), filepath.Join(p.dir, "mounts"), cfg.AllocID)
	t.undo = append(t.undo, func() { _ = alloc.Destroy() })
	if err := alloc.Build(); err != nil {
		return nil, err
	}
	cfg.AllocDir = alloc.AllocDir
	t.dir = alloc.NewTaskDir(&structs.Task{Name: cfg.Name})
	if err := t.dir.Build(p.fsi, chroot(), cfg.User); err != nil {
		return nil, err
	}
	cfg.Env["NOMAD_TASK_DIR"] = t.dir.LocalDir
	switch p.fsi {
	case fsisolation.Unveil:
		cfg.Env["NOMAD_TASK_DIR"] = filepath.Join(t.dir.MountsTaskDir, "local")
	case fsisolation.Chroot:
		cfg.Env["NOMAD_TASK_DIR"] = "/local"
	}
	for _, file := range files {
		if err := copyFile(file, filepath.Join(t.dir.LocalDir, filepath.Base(file))); err != nil {
			return nil, err
		}
	}
	cfg.StdoutPath, cfg.StderrPath = os.DevNull, os.DevNull
	if capture {
		err = t.capture()
	}
	return t, err
}

// capture makes a FIFO of the task's stdout, and opens it for reading, as
// Nomad's logmon does.
func (t *task) capture() error {
	path := filepath.Join(t.dir.LogDir, ".t.stdout.fifo")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		return err
	}
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if err := unix.SetNonblock(fd, false); err != nil {
		return err
	}
	t.output = os.NewFile(uintptr(fd), path)
	t.undo = append(t.undo, func() { t.output.Close() })
	t.config.StdoutPath = path
	return nil
}

func copyFile(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o755)
}

func (t *task) start() (err error) {
	t.handle, _, err = t.driver.StartTask(t.config)
	return err
}

// wait waits until the driver says that the task has ended, and how.
func (t *task) wait() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	ch, err := t.driver.WaitTask(ctx, t.config.ID)
	if err != nil {
		return err
	}
	result, ok := <-ch
	switch {
	case !ok:
		return errors.New("the task never ended")
	case result.Err != nil:
		return result.Err
	case result.ExitCode != 0:
		return fmt.Errorf("the task ended with exit code %d", result.ExitCode)
	}
	return nil
}

// destroy removes all of the task.
func (t *task) destroy() {
	if t.handle != nil {
		_ = t.driver.DestroyTask(t.config.ID, true)
	}
	for i := len(t.undo) - 1; i >= 0; i-- {
		t.undo[i]()
	}
	t.undo = nil
}

// result runs a task to its end and returns what it has written.
func (t *task) result() (string, error) {
	if err := t.start(); err != nil {
		return "", err
	}
	text, err := io.ReadAll(t.output)
	if err != nil {
		return string(text), err
	}
	return string(text), t.wait()
}

// kill ends processes that were started beside the plugin.
func kill(pids []int) {
	for _, pid := range pids {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}
