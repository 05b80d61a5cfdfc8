// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/hashicorp/nomad/plugins/drivers"

	"github.com/burin-labs/nomad-driver-harn/internal/plain"
	"github.com/burin-labs/nomad-driver-harn/policy"
	"github.com/burin-labs/nomad-driver-harn/sandbox"
)

// findTaskDirs finds them by the environment that Nomad sets, which is the
// only place where a driver is told. The job's env block can set the same
// variables: so they are believed only if they name the very directories that
// the client names in the task's configuration.
func findTaskDirs(cfg *drivers.TaskConfig) (*sandbox.Dirs, error) {
	if err := checkTaskName(cfg.Name); err != nil {
		return nil, err
	}
	host := cfg.TaskDir()
	local := cfg.Env["NOMAD_TASK_DIR"]
	task, links, err := sandbox.FollowTaskDir(local)
	if err != nil {
		return nil, err
	}
	for _, pair := range [][2]string{
		{task, host.Dir},
		{filepath.Join(task, "alloc"), host.SharedAllocDir},
	} {
		if err := sandbox.SameDir(pair[0], pair[1]); err != nil {
			if filepath.Base(task) == cfg.AllocID+"-"+cfg.Name {
				return nil, fmt.Errorf("the task's directories are not mounted on %s: %w: after a boot of the machine, Nomad does not mount those of earlier allocations again, only new allocations can run", plain.Name(task), err)
			}
			return nil, sandbox.NotTheTaskDir(local, err)
		}
	}
	clients, err := policy.RealPath(filepath.Dir(cfg.AllocDir))
	if err != nil {
		return nil, fmt.Errorf("the client's alloc_dir: %w", err)
	}
	return &sandbox.Dirs{Task: task, Name: filepath.Dir(local), Links: links, Clients: clients, Mounts: filepath.Dir(task)}, nil
}

// checkTaskName refuses names that make another directory than one of its own the
// task's. Nomad makes the directory of a task by joining the allocation's and the
// task's name, whatever that is.
func checkTaskName(name string) error {
	var what string
	switch {
	case name == "..":
		what = "the directory of all allocations"
	case name == "" || name == ".":
		what = "the allocation's own, with those of its other tasks"
	case name == "alloc":
		what = "the one that the tasks of the allocation share"
	case strings.ContainsAny(name, "/\x00"):
		what = "one below another task's"
	default:
		return nil
	}
	return fmt.Errorf("the task's name %s makes its directory %s: rename the task", plain.Quote(name), what)
}
