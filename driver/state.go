// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/nomad/plugins/drivers"

	"github.com/burin-labs/nomad-driver-harn/cgroup"
	"github.com/burin-labs/nomad-driver-harn/denials"
	"github.com/burin-labs/nomad-driver-harn/executor"
)

// handleVersion is the version of TaskState in handles that Nomad stores. The same is in
// the records of the task.
const handleVersion = executor.RecordVersion

// TaskState is what Nomad stores of a task for us, to be given back to
// RecoverTask. It has all that is needed then: after a restart of the agent
// the task's config block cannot be decoded again. The environment is not
// here, Nomad stores it anyway.
type TaskState struct {
	// StateDir is the directory of the executor's records.
	StateDir string
	// Supervisor is the process to kill if the records are lost.
	Supervisor executor.Identity
	// TaskDir, WorkDir and UserName are for commands that are started in the task.
	TaskDir  string
	WorkDir  string
	UserName string
	// Home is the driver's HOME; "" stands for WorkDir, as in earlier versions.
	Home string
	// PresetEnv are the variables that the operator's presets have set.
	PresetEnv map[string]string
	// Withheld are the names of variables that the task did not get, see withhold:
	// the agent's environment may be another when a session starts.
	Withheld []string
	// Variables are those that the driver adds to the environment, where the job does not
	// set them.
	Variables map[string]string
	Cgroup    cgroup.Group
	// Places are where the task's view has anything; nil if it sees the host's.
	Places *denials.Places
	// Attributes are shown by InspectTask.
	Attributes map[string]string
}

// owner is what the records of a task say of whose it is.
type owner struct {
	// Version is handleVersion. The first had none, which is 1.
	Version int `json:",omitempty"`
	ID      string
	AllocID string
	Task    string
	// AllocDir is the allocation's directory on the host, which the client
	// removes when it forgets the allocation.
	AllocDir string
	State    TaskState
}

// readOwner reads whose the records in a directory are. It believes only what
// this driver writes there.
func readOwner(dir string) (*owner, error) {
	var o owner
	if err := executor.ReadOwner(dir, &o); err != nil {
		return nil, err
	}
	if err := o.check(dir); err != nil {
		return nil, fmt.Errorf("the records in %q are not those of a task of this driver: %w", dir, err)
	}
	return &o, nil
}

// checkVersions returns an error if a newer version of this driver has started tasks that
// may run. RecoverTask could only refuse them, and then Nomad forgets them and starts each
// anew, beside itself. So an agent with this plugin is not to start.
func checkVersions(stateDir string) error {
	entries, err := os.ReadDir(stateDir)
	if err != nil {
		return nil // there are none, or [sandbox.Settings.CheckStateDir] says why not
	}
	var first error
	tasks := 0
	for _, entry := range entries {
		dir := filepath.Join(stateDir, entry.Name())
		_, err := readOwner(dir)
		var newer *executor.NewerError
		if executor.Removed(dir) || !errors.As(err, &newer) {
			continue
		}
		if tasks++; first == nil {
			first = fmt.Errorf("%q: %w", dir, err)
		}
	}
	if first == nil {
		return nil
	}
	return fmt.Errorf("state_dir has %d tasks of a newer version of this plugin, which go on, and which this one cannot recover: "+
		"install the newer one again, and drain the node before you go back; the first: %w", tasks, first)
}

// check checks that the records in a directory are those of the task that they
// name, so that none tells of the processes and cgroups of another.
func (o *owner) check(dir string) error {
	if parts := strings.Split(o.ID, "/"); len(parts) != 3 || parts[0] == "" || parts[0] != o.AllocID || parts[1] == "" || parts[1] != o.Task {
		return fmt.Errorf("the ID is %q, expected that of a start of task %q of allocation %q", o.ID, o.Task, o.AllocID)
	}
	if !filepath.IsAbs(o.AllocDir) || filepath.Clean(o.AllocDir) != o.AllocDir || filepath.Base(o.AllocDir) != o.AllocID {
		return fmt.Errorf("the allocation's directory is %q, expected a path that ends with %q", o.AllocDir, o.AllocID)
	}
	o.State.StateDir = dir // where the record is, whatever it says
	return o.State.check(o.ID, o.AllocID, o.Task)
}

// check checks that a state is one of the task.
func (s *TaskState) check(id, allocID, task string) error {
	if want := recordsDir("/", allocID, task, id); !filepath.IsAbs(s.StateDir) || filepath.Base(s.StateDir) != filepath.Base(want) {
		return fmt.Errorf("the directory of records is %q, expected one with the name %q", s.StateDir, filepath.Base(want))
	}
	return s.Cgroup.Check(allocID, task)
}

func newOwner(cfg *drivers.TaskConfig, state TaskState) *owner {
	return &owner{Version: handleVersion, ID: cfg.ID, AllocID: cfg.AllocID, Task: cfg.Name, AllocDir: cfg.AllocDir, State: state}
}

// recordsDir is the directory of a task's records. A task's ID holds slashes
// and its name may be long: so the name of the directory tells people which
// task it is, and a hash tells tasks apart.
func recordsDir(stateDir, allocID, task, id string) string {
	hash := sha256.Sum256([]byte(id))
	return filepath.Join(stateDir, recordsPrefix(allocID, task)+hex.EncodeToString(hash[:8]))
}

// recordsPrefix is what the names of the directories of all starts of a task
// begin with. Those of others may, too.
func recordsPrefix(allocID, task string) string {
	readable := func(s string, most int) string {
		s = strings.Map(func(r rune) rune {
			if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' {
				return r
			}
			return '_'
		}, s)
		return s[:min(most, len(s))]
	}
	return readable(allocID, 8) + "-" + readable(task, 64) + "-"
}
