// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package attack

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/nomad/client/lib/cgroupslib"
	"github.com/hashicorp/nomad/helper/uuid"
	"github.com/hashicorp/nomad/nomad/structs"
	"github.com/hashicorp/nomad/plugins/base"
	"github.com/hashicorp/nomad/plugins/drivers"
	"github.com/hashicorp/nomad/plugins/drivers/testutils"

	"github.com/burin-labs/nomad-driver-harn/driver"
	"github.com/burin-labs/nomad-driver-harn/internal/drivertest"
	"github.com/burin-labs/nomad-driver-harn/internal/kerneltest"
	"github.com/burin-labs/nomad-driver-harn/landlock"
	"github.com/burin-labs/nomad-driver-harn/sandbox"
)

// taskUser is whom tasks, the victims and the controls run as.
const (
	taskUser = "nobody"
	taskUID  = 65534
)

// nomad is the driver behind the interface by which Nomad uses it.
type nomad struct {
	*testutils.DriverHarness
	t        *testing.T
	dir      string // on the host, readable for all
	stateDir string
	abi      landlock.ABI
}

func newNomad(t *testing.T) *nomad {
	t.Helper()
	kerneltest.Root(t)
	kerneltest.Seccomp(t)
	dir, err := os.MkdirTemp("/var/tmp", "harn-attack-")
	check(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	check(t, os.Chmod(dir, 0o755))
	t.Setenv("TMPDIR", dir) // where Nomad's harness makes its directories
	check(t, drivertest.InitCgroups())
	abi, _ := landlock.Detect()

	n := &nomad{t: t, dir: dir, stateDir: dir + "/state", abi: abi}
	// Without Landlock, worktree is what is left of it; os_hardened is refused.
	config := driver.Config{Settings: sandbox.Settings{StateDir: n.stateDir, AllowRoot: true, Fallback: "warn", PidsLimit: 4096}}
	var data []byte
	check(t, base.MsgPackEncode(&data, &config))
	logger := hclog.New(&hclog.LoggerOptions{Level: hclog.Warn, Output: os.Stderr})
	n.DriverHarness = testutils.NewDriverHarness(t, driver.New(t.Context(), logger))
	t.Cleanup(n.Kill)
	check(t, n.SetConfig(&base.Config{PluginConfig: data, ApiVersion: drivers.ApiVersion010}))
	return n
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// task prepares a task as the client does: directories, logs, a cgroup. It is
// cleaned up at the very end: Nomad's harness closes its connection then.
func (n *nomad) task(user string, config driver.TaskConfig, logged bool) *drivers.TaskConfig {
	t := n.t
	t.Helper()
	cfg := &drivers.TaskConfig{
		AllocID: uuid.Generate(),
		Name:    "attack",
		JobName: "attack",
		User:    user,
		Env:     map[string]string{},
	}
	cfg.ID = cfg.AllocID + "/attack/" + uuid.Short()
	life := cgroupslib.Factory(cfg.AllocID, cfg.Name, false)
	check(t, life.Setup())
	t.Cleanup(func() { _ = life.Teardown() })
	cfg.Resources = &drivers.Resources{
		NomadResources: &structs.AllocatedTaskResources{},
		LinuxResources: &drivers.LinuxResources{CpusetCgroupPath: cgroupslib.LinuxResourcesPath(cfg.AllocID, cfg.Name, false)},
	}
	check(t, cfg.EncodeConcreteDriverConfig(&config))
	t.Cleanup(n.MkAllocDir(cfg, logged))
	return cfg
}

// start starts a task. It is destroyed at the end of the test.
func (n *nomad) start(cfg *drivers.TaskConfig) error {
	_, _, err := n.StartTask(cfg)
	if err == nil {
		n.t.Cleanup(func() { _ = n.DestroyTask(cfg.ID, true) })
	}
	return err
}

func (n *nomad) wait(t *testing.T, id string, timeout time.Duration) (*drivers.ExitResult, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	ch, err := n.WaitTask(ctx, id)
	if err != nil {
		return nil, err
	}
	result, ok := <-ch
	if !ok {
		return nil, errors.New("no exit result")
	}
	return result, result.Err
}

// local is the task's local directory as it sees it.
func local(cfg *drivers.TaskConfig) string { return cfg.Env["NOMAD_TASK_DIR"] }

func logs(cfg *drivers.TaskConfig) string { return filepath.Join(cfg.Env["NOMAD_ALLOC_DIR"], "logs") }
