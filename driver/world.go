// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/nomad/plugins/drivers"

	"github.com/burin-labs/nomad-driver-harn/policy"
)

// systemReadRoots are what every task may read and execute, as in Harn.
var systemReadRoots = []string{"/bin", "/lib", "/lib64", "/usr", "/etc", "/nix/store", "/System"}

// devices are the device nodes that every task may use.
var devices = []string{"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", policy.Terminal}

// kernelRoots are what every task may read of the kernel. Runtimes look up the
// number of processors in /sys.
var kernelRoots = []string{"/proc", "/sys/devices/system/cpu"}

// networkFiles configure name resolution. Where one is a symbolic link out of
// the system roots (resolv.conf to /run, mostly), its target is admitted.
var networkFiles = []string{"/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/gai.conf", "/etc/host.conf"}

// Private directories of a task.
const (
	privateTmp = "/tmp"
	privateShm = "/dev/shm"
)

// taskDirs are a task's directories as it sees them: Nomad's mounts for the
// isolation mode unveil. All are real paths.
type taskDirs struct {
	Task string // holds local, tmp, and the mounts alloc and secrets
	// Clients is the client's alloc_dir, with the directories of all
	// allocations: the host's paths of these ones lie in it, too.
	Clients string
}

// own are the directories that a task may use without asking for them.
func (d *taskDirs) own() []string { return []string{d.Task} }

// checkRoots refuses roots in the directories of other allocations.
func (d *taskDirs) checkRoots(roots policy.Roots) error {
	for _, root := range slices.Concat(roots.Workspace, roots.ReadOnly) {
		if beneath(d.Clients, root) && !beneath(d.Task, root) {
			return fmt.Errorf("root %s is in the directory of Nomad's allocations: a task gets its own only, name a path in its task directory", root)
		}
	}
	return nil
}

// beneath reports whether path is dir or in it. Both are real paths.
func beneath(dir, path string) bool {
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}

// findTaskDirs finds them by the environment that Nomad sets, which is the
// only place where a driver is told. The job's env block can set the same
// variables: so they are believed only if they name the very directories that
// the client names in the task's configuration.
func findTaskDirs(cfg *drivers.TaskConfig) (*taskDirs, error) {
	host := cfg.TaskDir()
	local := cfg.Env["NOMAD_TASK_DIR"]
	if !filepath.IsAbs(local) {
		return nil, fmt.Errorf("NOMAD_TASK_DIR is %q, expected an absolute path: does the job's env block set it?", local)
	}
	task, err := policy.RealPath(filepath.Dir(local))
	if err != nil {
		return nil, fmt.Errorf("NOMAD_TASK_DIR is %q: %w", local, err)
	}
	for _, pair := range [][2]string{
		{task, host.Dir},
		{filepath.Join(task, "alloc"), host.SharedAllocDir},
	} {
		if err := sameDir(pair[0], pair[1]); err != nil {
			return nil, fmt.Errorf("NOMAD_TASK_DIR is %q, which is not this task's: %w: does the job's env block set it?", local, err)
		}
	}
	clients, err := policy.RealPath(filepath.Dir(cfg.AllocDir))
	if err != nil {
		return nil, fmt.Errorf("the client's alloc_dir: %w", err)
	}
	return &taskDirs{Task: task, Clients: clients}, nil
}

func sameDir(a, b string) error {
	infoA, err := os.Lstat(a)
	if err != nil {
		return err
	}
	infoB, err := os.Lstat(b)
	if err != nil {
		return err
	}
	if !infoA.IsDir() || !os.SameFile(infoA, infoB) {
		return fmt.Errorf("%s is not %s", a, b)
	}
	return nil
}

// makeWorld lists what a task finds besides its own directories and roots.
func makeWorld() policy.World {
	world := policy.World{
		System:  realPaths(systemReadRoots),
		Scratch: []string{privateTmp},
		Kernel:  kernelRoots,
		Devices: realPaths(devices),
	}
	if _, err := os.Stat(privateShm); err == nil {
		world.Scratch = append(world.Scratch, privateShm)
	}
	for _, file := range realPaths(networkFiles) {
		if !slices.ContainsFunc(world.System, func(root string) bool { return beneath(root, file) }) {
			world.Network = append(world.Network, file)
		}
	}
	return world
}

// realPaths resolves those that exist.
func realPaths(paths []string) []string {
	var found []string
	for _, path := range paths {
		if p, err := policy.RealPath(path); err == nil && !slices.Contains(found, p) {
			found = append(found, p)
		}
	}
	return found
}

// makeTmp makes the directory that a task sees as /tmp, if an earlier run of
// the task has removed it.
func makeTmp(taskDir string) error {
	root, err := os.OpenRoot(taskDir)
	if err != nil {
		return err
	}
	defer root.Close()
	err = root.Mkdir("tmp", 0o777)
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	if err == nil {
		err = root.Chmod("tmp", 0o777|os.ModeSticky)
	}
	if err != nil {
		return fmt.Errorf("making the task's tmp directory: %w", err)
	}
	return nil
}
