// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package sandbox

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/burin-labs/nomad-driver-harn/policy"
)

// Request is what a job asks for its task: the config block.
type Request struct {
	// Command is a program: an absolute path, a path relative to the task
	// directory, or a name to look up in local/, the task directory and PATH.
	Command string   `codec:"command"`
	Args    []string `codec:"args"`
	// WorkDir is the working directory, absolute or relative to the task
	// directory. Absent means the task directory.
	WorkDir string `codec:"work_dir"`
	// PIDMode and IPCMode are "private" or "host".
	PIDMode string `codec:"pid_mode"`
	IPCMode string `codec:"ipc_mode"`
	// CapAdd and CapDrop are names of capabilities.
	CapAdd  []string `codec:"cap_add"`
	CapDrop []string `codec:"cap_drop"`
	// CPUHardLimit makes the cpu of the resources block a limit, not a share.
	CPUHardLimit bool `codec:"cpu_hard_limit"`
	// PidsLimit is how many processes and threads the task may have; 0 means
	// the operator's limit.
	PidsLimit int64 `codec:"pids_limit"`
	// OOMScoreAdj is 0 to 1000: the higher, the sooner the kernel kills the
	// task when the node is out of memory.
	OOMScoreAdj int64 `codec:"oom_score_adj"`
	// Nice is 0 to 19: the higher, the lower the scheduling priority.
	Nice int64 `codec:"nice"`
	// Ulimit are limits of setrlimit(2), "SOFT:HARD" by name.
	Ulimit map[string]string `codec:"ulimit"`
	// Logs limits the log files where the driver collects them.
	Logs *LogFiles `codec:"logs"`
	// Policy absent means the operator's default_policy, or else the same as an
	// empty block.
	Policy *policy.Policy `codec:"capability_policy"`
}

// Modes of namespaces.
const (
	modePrivate = "private"
	modeHost    = "host"
)

// Validate checks all that can be known without a file system.
func (r *Request) Validate() error {
	var problems []string
	if strings.TrimSpace(r.Command) == "" {
		problems = append(problems, "command: it is empty, expected a program")
	}
	if strings.ContainsRune(r.Command, 0) {
		problems = append(problems, fmt.Sprintf("command: %q holds a NUL byte", r.Command))
	}
	for i, arg := range r.Args {
		if strings.ContainsRune(arg, 0) {
			problems = append(problems, fmt.Sprintf("args[%d]: %q holds a NUL byte, which no program can receive", i, arg))
		}
	}
	if r.WorkDir != "" && !filepath.IsAbs(r.WorkDir) && !filepath.IsLocal(r.WorkDir) {
		problems = append(problems, fmt.Sprintf("work_dir: %q leaves the task directory", r.WorkDir))
	}
	if strings.ContainsRune(r.WorkDir, 0) {
		problems = append(problems, fmt.Sprintf("work_dir: %q holds a NUL byte", r.WorkDir))
	}
	problems = append(problems, r.validateResources()...)
	for _, mode := range []struct{ field, value string }{{"pid_mode", r.PIDMode}, {"ipc_mode", r.IPCMode}} {
		if mode.value != "" && mode.value != modePrivate && mode.value != modeHost {
			problems = append(problems, fmt.Sprintf("%s: unknown mode %q, expected %q or %q", mode.field, mode.value, modePrivate, modeHost))
		}
	}
	if r.Policy == nil {
		r.Policy = &policy.Policy{}
	}
	if err := r.Policy.Validate(); err != nil {
		problems = append(problems, "capability_policy: "+err.Error())
	}
	if len(problems) > 0 {
		return errors.New(strings.Join(problems, "; "))
	}
	return nil
}

// Complete gives a request without a policy the operator's default, and checks it.
func (r *Request) Complete(settings *Settings) error {
	if r.Policy == nil && settings.DefaultPolicy != nil {
		r.Policy = settings.DefaultPolicy.Clone()
	}
	return r.Validate()
}
