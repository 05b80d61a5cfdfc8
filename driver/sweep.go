// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hashicorp/nomad/plugins/drivers"

	"github.com/burin-labs/nomad-driver-harn/executor"
	"github.com/burin-labs/nomad-driver-harn/internal/plain"
)

// Nomad and a plugin can lose each other's word: if either is killed while a
// task starts, the task may run and Nomad know of no handle; if either is
// killed while a task is destroyed, nobody asks for the rest. What is left so
// has its records. Three look for them:
//
//   - the next start of the same task: there is one at a time, so whatever is
//     there of earlier ones is void
//   - DestroyTask of a task that this process does not know
//   - the sweep, for tasks that are never started again: once the client has
//     removed the allocation's directory, it asks for none of its tasks

// discard kills what is left of a task that no handle stands for, and removes
// its cgroups and then its records.
func discard(id string, state *TaskState) error {
	if err := executor.Clear(id, state.StateDir, state.Cgroup.Own(), state.Supervisor); err != nil {
		return err
	}
	state.Cgroup.Remove()
	return executor.Remove(id, state.StateDir, state.Cgroup.Own())
}

// replace discards what earlier starts of the same task have left.
func (d *Driver) replace(cfg *drivers.TaskConfig) error {
	prefix := recordsPrefix(cfg.AllocID, cfg.Name)
	stateDir := d.currentConfig().StateDir
	entries, err := os.ReadDir(stateDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("state_dir: %w", err)
	}
	for _, entry := range entries {
		dir := filepath.Join(stateDir, entry.Name())
		if !strings.HasPrefix(entry.Name(), prefix) || executor.Removed(dir) {
			continue
		}
		o, err := readOwner(dir)
		if err != nil && !errors.Is(err, executor.ErrNotStarted) {
			return fmt.Errorf("an earlier start of this task may run: %q: %w", dir, err)
		}
		if err != nil || o.AllocID != cfg.AllocID || o.Task != cfg.Name || o.ID == cfg.ID {
			continue
		}
		if err := d.discardOwned(dir, o); err != nil {
			return fmt.Errorf("task %s, an earlier start of this task, cannot be removed: %w", plain.Name(o.ID), err)
		}
	}
	return nil
}

// discardOwned discards a task that Nomad has forgotten, by its records.
func (d *Driver) discardOwned(dir string, o *owner) error {
	o.State.StateDir = dir // where the record is, whatever it says
	if err := discard(o.ID, &o.State); err != nil {
		return err
	}
	d.tasks.delete(o.ID)
	d.logger.Info("removed what was left of a task that Nomad has forgotten", "task_id", o.ID)
	return nil
}

// destroyUnknown destroys a task by its records, if there are any.
func (d *Driver) destroyUnknown(taskID string, force bool) error {
	parts := strings.Split(taskID, "/") // allocation, task, start
	if len(parts) != 3 {
		return nil
	}
	dir := recordsDir(d.currentConfig().StateDir, parts[0], parts[1], taskID)
	o, err := readOwner(dir)
	switch {
	case errors.Is(err, executor.ErrNotStarted):
		return nil
	case err != nil:
		return fmt.Errorf("task %s: %w", plain.Name(taskID), err)
	case o.ID != taskID:
		return nil
	}
	if !force && runs(taskID, dir, o) {
		return fmt.Errorf("task %s is running: stop it first, or destroy it by force", plain.Name(taskID))
	}
	return d.discardOwned(dir, o)
}

// runs reports whether a task runs, by its records.
func runs(id, dir string, o *owner) bool {
	task, err := executor.Attach(id, dir, o.State.Cgroup.Own())
	if err != nil {
		return false
	}
	defer task.Detach()
	select {
	case <-task.Done():
		return false
	default:
		return true
	}
}

// sweepAll sweeps until the plugin ends.
func (d *Driver) sweepAll() {
	var s sweep
	for {
		d.sweep(&s)
		select {
		case <-d.ctx.Done():
			return
		case <-time.After(d.currentConfig().sweepPeriod):
		}
	}
}

// sweep is the state of a sweep: what the last round has found to be forgotten.
type sweep struct{ forgotten map[string]bool }

// sweep removes what is left of tasks that Nomad has forgotten. What one round
// finds the next one removes, so that Nomad has time to recover its tasks
// after a restart.
func (d *Driver) sweep(s *sweep) {
	stateDir := d.currentConfig().StateDir
	if err := executor.CheckStateDir(stateDir); err != nil {
		d.logger.Warn("the state directory is not swept", "error", err)
		return
	}
	entries, err := os.ReadDir(stateDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		d.logger.Warn("could not sweep the state directory", "error", err)
	}
	before := s.forgotten
	s.forgotten = map[string]bool{}
	for _, entry := range entries {
		dir := filepath.Join(stateDir, entry.Name())
		if executor.Removed(dir) {
			if err := os.RemoveAll(dir); err != nil {
				d.logger.Warn("could not remove records", "error", err)
			}
			continue
		}
		o, forgotten := d.forgotten(dir)
		if !forgotten {
			continue
		}
		s.forgotten[dir] = true
		if !before[dir] {
			continue
		}
		if err := d.discardOwned(dir, o); err != nil {
			d.logger.Warn("could not remove what is left of a task that Nomad has forgotten", "task_id", o.ID, "error", err)
		}
	}
}

// forgotten reports whether nobody will ask for a task any more.
func (d *Driver) forgotten(dir string) (*owner, bool) {
	if d.tasks.inUse(dir) {
		return nil, false
	}
	o, err := readOwner(dir)
	switch {
	case errors.Is(err, executor.ErrNotStarted):
		// A plugin was killed before it had written its first record. What has
		// other records is not of this version.
		entries, err := os.ReadDir(dir)
		return &owner{}, err == nil && (len(entries) == 0 || len(entries) == 1 && executor.Unwritten(entries[0].Name()))
	case err != nil:
		d.logger.Warn("could not read a record", "error", err)
		return nil, false
	case d.tasks.knows(o.AllocID, o.Task):
		// A later start of it is known: its cgroup is this one's.
		return nil, false
	}
	// If the directory of all allocations is gone as well, a file system is not
	// mounted, which says nothing of the allocation.
	return o, gone(o.AllocDir) && !gone(filepath.Dir(o.AllocDir))
}

func gone(path string) bool {
	_, err := os.Lstat(path)
	return errors.Is(err, fs.ErrNotExist)
}
