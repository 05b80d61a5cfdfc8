// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package sandbox

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/burin-labs/nomad-driver-harn/internal/plain"
	"github.com/burin-labs/nomad-driver-harn/landlock"
	"github.com/burin-labs/nomad-driver-harn/policy"
)

// Dirs are a task's directories as it sees them: Nomad's mounts for the
// isolation mode unveil. All are real paths.
type Dirs struct {
	Task string // holds local, tmp, and the mounts alloc and secrets
	// Name is what Nomad calls Task, with symbolic links on the way; "" if that is
	// the same.
	Name string
	Tmp  string // what the task sees as /tmp; "" for tmp in Task
	// Clients is the client's alloc_dir, with the directories of all
	// allocations: the host's paths of these ones lie in it, too.
	Clients string
	// Mounts is the client's alloc_mounts_dir, where Nomad mounts the directories
	// of all tasks; "" without Nomad.
	Mounts string
	// Storage are the sources of volumes that Nomad keeps in its data_dir, real paths.
	Storage []string
	// Shared: the task sees the host's file system as it is, since nothing can
	// be mounted. Then Tmp is a temporary directory by its own name.
	Shared bool
	// NoOverlays: the task is in a user namespace.
	NoOverlays bool
	// Links are the symbolic links on the way from Name to Task.
	Links []policy.Link
	// HostFiles is the plugin's directory of copies of the host's files, a real
	// path; "" if nobody keeps them.
	HostFiles string
}

// own are the directories that a task may use without asking for them.
func (d *Dirs) own() []string { return []string{d.Task} }

// names are those that a job may use for own: ${NOMAD_TASK_DIR} is one of them.
func (d *Dirs) names() []string {
	if d.Name == "" {
		return d.own()
	}
	return append(d.own(), d.Name)
}

func (d *Dirs) tmp() string {
	if d.Tmp != "" {
		return d.Tmp
	}
	return filepath.Join(d.Task, "tmp")
}

// nomads are the directories of the agent that can be told from the client's
// alloc_dir, which is in the data_dir unless the operator says otherwise.
func (d *Dirs) nomads() []AgentPath {
	data := filepath.Dir(d.Clients)
	if d.Mounts == "" || !exists(filepath.Join(data, "client", "state.db")) {
		return nil
	}
	return []AgentPath{{path: data, what: dataDir}}
}

// storage are directories in the data_dir of which each holds volumes: those of
// storage plugins, and dynamic host volumes.
var storage = []string{"client/csi/node", "host_volumes"}

// findStorage finds the volumes that Nomad keeps in its data_dir. No job chooses
// where that is.
func (d *Dirs) findStorage(mounts []Mount) {
	for _, data := range d.nomads() {
		for _, m := range mounts {
			source, err := realPath(m.HostPath)
			if err != nil {
				continue // findVolumes says so
			}
			for _, dir := range storage {
				if dir := filepath.Join(data.path, dir); dir != source && landlock.Beneath(dir, source) {
					d.Storage = append(d.Storage, source)
				}
			}
		}
	}
}

// FollowTaskDir is the real path of the directory that the variable NOMAD_TASK_DIR says is
// the task's, and the links on the way.
func FollowTaskDir(local string) (task string, links []policy.Link, err error) {
	if !filepath.IsAbs(local) {
		return "", nil, fmt.Errorf("NOMAD_TASK_DIR is %q, expected an absolute path: does the job's env block set it?", local)
	}
	if task, links, err = policy.Follow(filepath.Dir(local)); err != nil {
		return "", nil, fmt.Errorf("NOMAD_TASK_DIR is %q: %w", local, err)
	}
	return task, links, nil
}

// NotTheTaskDir says that the variable NOMAD_TASK_DIR names another directory.
func NotTheTaskDir(local string, err error) error {
	return fmt.Errorf("NOMAD_TASK_DIR is %q, which is not this task's: %w: does the job's env block set it?", local, err)
}

// SameDir says if two paths are not of one directory.
func SameDir(a, b string) error {
	infoA, err := os.Lstat(a)
	if err != nil {
		return err
	}
	infoB, err := os.Lstat(b)
	if err != nil {
		return err
	}
	if !infoA.IsDir() || !os.SameFile(infoA, infoB) {
		return fmt.Errorf("%s is not %s", plain.Name(a), plain.Name(b))
	}
	return nil
}
