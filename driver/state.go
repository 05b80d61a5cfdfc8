// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"crypto/sha256"
	"encoding/hex"
	"path/filepath"
	"strings"

	"github.com/burin-labs/nomad-driver-harn/executor"
)

// handleVersion is the version of TaskState in handles that Nomad stores.
const handleVersion = 1

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
	Cgroup   cgroup
	// Attributes are shown by InspectTask.
	Attributes map[string]string
}

// recordsDir is the directory of a task's records. A task's ID holds slashes
// and its name may be long: so the name of the directory tells people which
// task it is, and a hash tells tasks apart.
func recordsDir(stateDir, allocID, task, id string) string {
	readable := func(s string, most int) string {
		s = strings.Map(func(r rune) rune {
			if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' {
				return r
			}
			return '_'
		}, s)
		return s[:min(most, len(s))]
	}
	hash := sha256.Sum256([]byte(id))
	name := readable(allocID, 8) + "-" + readable(task, 64) + "-" + hex.EncodeToString(hash[:8])
	return filepath.Join(stateDir, name)
}
