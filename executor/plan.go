// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package executor

import (
	"fmt"
	"os"
	"path"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/landlock"
	"github.com/burin-labs/nomad-driver-harn/seccomp"
)

// Plan is all that a supervisor needs to know to start a task. It is plain
// data: it crosses to the supervisor as JSON.
type Plan struct {
	Isolation   Isolation   `json:"isolation"`
	Confinement Confinement `json:"confinement"`
	Process     Process     `json:"process"`
	// Logs, if not nil, are what the supervisor writes: see [StartLogged].
	Logs *Logs `json:"logs,omitempty"`
	// Foreground: the task is in the foreground, see [StartForeground].
	Foreground bool `json:"foreground,omitempty"`
	// Companions are processes that serve the task from its start to its end.
	Companions []Companion `json:"companions,omitempty"`
	// Held are files that stay open as long as the task lasts. Who starts it closes them.
	Held []*os.File `json:"-"`
}

// Process is a program to execute.
type Process struct {
	// Path is the path of the program's file, from Dir if it is relative, or a name
	// without a slash to look up in the PATH of Env.
	Path string `json:"path"`
	// Near are directories that a name which PATH has not is looked up in as well,
	// and a relative path that the working directory has not. Absolute.
	Near []string `json:"near,omitempty"`
	Args []string `json:"args"` // with the program's name as Args[0]
	Env  []string `json:"env"`  // "NAME=value", the whole environment
	Dir  string   `json:"dir"`  // the working directory, absolute
	// Terminal: descriptor 0 of a task in the foreground is to be its controlling
	// terminal. It must be nobody's yet.
	Terminal bool `json:"terminal,omitempty"`
}

// Confinement is what a process of the task enters before it executes
// anything. It is the same for the task and for all sessions in it.
type Confinement struct {
	User User `json:"user"`
	// Unprivileged: User is who starts the task, and not root. Nothing can be
	// changed about that, and nothing be raised: nice and oom_score_adj stay as
	// they are unless they are to be worse.
	Unprivileged bool `json:"unprivileged,omitempty"`
	// Ruleset is nil where Landlock is not to be applied.
	Ruleset *landlock.Ruleset `json:"ruleset,omitempty"`
	// SessionsSignal: a session may signal all processes that its user may, by its
	// own domain. Where Ruleset scopes signals, the task is another domain than a
	// session, and out of its reach otherwise.
	SessionsSignal bool `json:"sessions_signal,omitempty"`
	// LandlockFlags say which denials by Ruleset the kernel logs. The kernel's
	// ABI must have them.
	LandlockFlags landlock.Flags `json:"landlock_flags,omitempty"`
	// Filter says which system calls fail; nil where seccomp is not to be applied.
	Filter *seccomp.Filter `json:"filter,omitempty"`
	// LogFilter: the kernel logs the calls that fail by Filter.
	LogFilter bool `json:"log_filter,omitempty"`
	// Cgroups are the directories of the cgroups to join, one for each
	// hierarchy.
	Cgroups []string `json:"cgroups,omitempty"`
	// OwnCgroup is the one of Cgroups by which the task's processes are found
	// and killed: cgroups v2, or the freezer of v1. No other task is in it.
	OwnCgroup string `json:"own_cgroup,omitempty"`
	// OOMScoreAdj is written to /proc/self/oom_score_adj, -1000 to 1000.
	OOMScoreAdj int `json:"oom_score_adj"`
	// Nice is the scheduling priority, setpriority(2): 0 to 19.
	Nice   int     `json:"nice,omitempty"`
	Limits []Limit `json:"limits,omitempty"`
	// Capabilities are the numbers of those that the task has, in every set.
	Capabilities []int `json:"capabilities,omitempty"`
}

// valid checks a recorded confinement: what it says is what a task can have.
func (c *Confinement) valid() error {
	if err := c.User.validate(); err != nil {
		return err
	}
	if c.OwnCgroup != "" && !slices.Contains(c.Cgroups, c.OwnCgroup) {
		return fmt.Errorf("own_cgroup %q is none of cgroups %q", c.OwnCgroup, c.Cgroups)
	}
	for _, dir := range c.Cgroups {
		if !path.IsAbs(dir) || path.Clean(dir) != dir {
			return fmt.Errorf("cgroup %q is not an absolute path", dir)
		}
	}
	if c.OOMScoreAdj < -1000 || c.OOMScoreAdj > 1000 {
		return fmt.Errorf("oom_score_adj is %d, expected -1000 to 1000", c.OOMScoreAdj)
	}
	for _, number := range c.Capabilities {
		if number < 0 || number > unix.CAP_LAST_CAP {
			return fmt.Errorf("%d is no capability", number)
		}
	}
	return nil
}

// Limit is a resource limit, setrlimit(2).
type Limit struct {
	Resource int    `json:"resource"` // RLIMIT_*
	Soft     uint64 `json:"soft"`
	Hard     uint64 `json:"hard"`
}

// User is who a process runs as.
type User struct {
	UID    uint32   `json:"uid"`
	GID    uint32   `json:"gid"`
	Groups []uint32 `json:"groups"` // supplementary
}

// Isolation is what a task sees: its namespaces and mounts.
type Isolation struct {
	Network Network `json:"network"`
	// UserNamespace: all namespaces are in a new user namespace, so that it
	// takes no root to make them.
	UserNamespace bool `json:"user_namespace,omitempty"`
	// Shared: there are no namespaces and no mounts at all. HostPID and HostIPC
	// are set then, and nothing else.
	Shared bool `json:"shared,omitempty"`
	// HostPID: the task is in the host's PID namespace, and so is its
	// supervisor.
	HostPID bool `json:"host_pid,omitempty"`
	// HostIPC: the task is in the host's IPC namespace.
	HostIPC bool `json:"host_ipc,omitempty"`
	// PrivateRoot: the task's file system is an empty one, with Mounts in it.
	// Otherwise Mounts are made on the host's file system, as the task sees it.
	PrivateRoot bool `json:"private_root"`
	// Mounts are made in their order, in the task's own mount namespace.
	Mounts []Mount `json:"mounts"`
	// Closed are what no mount may show: tried in the finished view, before the
	// task's program executes.
	Closed []Closed `json:"closed,omitempty"`
}

// Network says in which network namespace a task runs.
type Network struct {
	// Isolated: in a new one, without any interface that is up.
	Isolated bool `json:"isolated,omitempty"`
	// Loopback: its loopback is up, in a new one.
	Loopback bool `json:"loopback,omitempty"`
	// Namespace is the path of the one to join; "" is the host's. It means
	// nothing if Isolated is set.
	Namespace string `json:"namespace,omitempty"`
	// File, if not nil, is the one to join, and Namespace what errors call it. Who starts
	// the task closes it.
	File *os.File `json:"-"`
}

// Mount is something in the task's view of the file system. All are nosuid,
// and private: what is mounted later on the host does not show in them.
type Mount struct {
	Type MountType `json:"type"`
	// Source is the real path to bind or the device, as the host sees it before
	// any of the mounts of the list, or the target of a symbolic link.
	Source string `json:"source,omitempty"`
	Target string `json:"target"` // a real path
	// Create makes what is missing of Target: in a private root, and in the
	// task's own directories. Nothing is made in other places of the host.
	Create bool `json:"create,omitempty"`
	// Content is what a file holds.
	Content string `json:"content,omitempty"`
	// Layers lie above the source of an overlay.
	Layers []Layer `json:"layers,omitempty"`
	// Optional mounts are left out if source or target does not exist.
	Optional bool `json:"optional,omitempty"`
	ReadOnly bool `json:"read_only,omitempty"`
	Devices  bool `json:"devices,omitempty"` // device nodes work
	NoExec   bool `json:"no_exec,omitempty"`
	// KernelFiles: it shows a /proc or a cgroup that the task is to have. Any other
	// that comes with a mount is covered.
	KernelFiles bool `json:"kernel_files,omitempty"`
	// Propagate: what is mounted later on the host shows in this bind, too.
	Propagate bool `json:"propagate,omitempty"`
}

// MountType is the kind of a mount.
type MountType string

// The kinds of mounts.
const (
	Bind    MountType = "bind"    // shows Source at Target, with what is mounted there
	Overlay MountType = "overlay" // shows Source at Target, read-only, with Layers above it; in a private root only
	Tmpfs   MountType = "tmpfs"   // an empty directory in memory; writable by all, unless read-only
	Proc    MountType = "proc"    // the task's processes only, and of those only its own user's
	Devpts  MountType = "devpts"  // terminals of the task's own
	Mqueue  MountType = "mqueue"  // POSIX message queues of the task's IPC namespace
	Device  MountType = "device"  // a device node with the numbers of Source, for the task's user
	Symlink MountType = "symlink" // a symbolic link to Source, in a private root only
	Dir     MountType = "dir"     // an empty directory, in a private root only
	File    MountType = "file"    // a read-only file that holds Content, in a private root only
	Mask    MountType = "mask"    // an empty file or directory over what is there
)
