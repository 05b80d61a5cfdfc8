// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package audit

import (
	"slices"
	"strconv"
)

// RefusalSchema is the name of Harn's record of what its sandbox has refused a process.
const RefusalSchema = "harn.process.sandbox_refusal.v1"

// Refusal are the members of Harn's record, apart from the count, which [Denial] has: a line
// is both.
type Refusal struct {
	Schema string `json:"schema"`
	// Command is what the host knows of the command line: its name. Cwd is the task's directory.
	Command []string `json:"command"`
	Cwd     string   `json:"cwd"`
	Backend string   `json:"backend"`
	// Operation is "read", "write" or "unknown".
	Operation string `json:"operation"`
	// Resource is the file, the port, the host or the system call; nil if unknown.
	Resource     *string  `json:"resource"`
	RefusedPaths []string `json:"refused_paths"`
	// Observability says how the refusal is known: the kernel has reported it.
	Observability string `json:"observability"`
	StderrExcerpt string `json:"stderr_excerpt"`
}

// Refusal is the line as Harn's record.
func (l *Line) Refusal() *Refusal {
	r := &Refusal{
		Schema: RefusalSchema, Command: []string{l.Command}, Cwd: l.TaskDir, Backend: "linux_landlock", Operation: "unknown",
		RefusedPaths: []string{}, Observability: "observed",
	}
	resource := l.Path
	switch l.Kind {
	case FS:
		switch {
		case l.Reads():
			r.Operation = "read"
		case !slices.Contains(l.Rights, "fs.resolve_unix") && !slices.Contains(l.Rights, "fs.ioctl_dev"):
			r.Operation = "write"
		}
		if l.Path != "" {
			r.RefusedPaths = []string{l.Path}
		}
	case Net:
		resource = "port " + strconv.Itoa(l.Port)
	case Egress:
		r.Backend, resource = "egress", l.host()
	case Syscall:
		r.Backend, resource = "linux_seccomp", l.Rights[0]
	}
	if resource != "" {
		r.Resource = &resource
	}
	return r
}
