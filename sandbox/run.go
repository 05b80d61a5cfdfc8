// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package sandbox

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/egress"
	"github.com/burin-labs/nomad-driver-harn/executor"
	"github.com/burin-labs/nomad-driver-harn/internal/plain"
	"github.com/burin-labs/nomad-driver-harn/landlock"
	"github.com/burin-labs/nomad-driver-harn/policy"
)

// Privilege is what whoever runs a task without Nomad may do.
type Privilege int

// From the most to the least.
const (
	// Root may do all that the driver does.
	Root Privilege = iota
	// UserNamespace is an ordinary user that can have a user namespace.
	UserNamespace
	// Unprivileged is one that cannot.
	Unprivileged
)

// RunOptions are what Nomad would say of a task, or the client's configuration.
type RunOptions struct {
	Privilege Privilege
	// Settings are the operator's, valid ones; nil for the defaults.
	Settings *Settings
	// TaskDir is the task directory, a real path.
	TaskDir string
	// Private is a directory of the run's own, a real path: in it, tmp is what
	// the task sees as /tmp, and state will have its records.
	Private string
	// User is who the task runs as: for [Root] only. "" is nobody.
	User string
	Env  map[string]string
	// Terminal: the task's descriptor 0 is to be its controlling terminal.
	Terminal bool
}

// Run is a task that is ready to run without Nomad.
type Run struct {
	plan    *executor.Plan
	private string
	// Policy is what is enforced.
	Policy *policy.Plan
	// NotApplied is what the driver would do under Nomad, and a run does not.
	NotApplied []string
	// Denied, if not nil, is told what the task was denied by its egress rules.
	Denied func(message string)

	egress *Egress
}

// PrepareRun plans a task by the functions by which the driver does, and
// changes nothing. The error is a [CommandError] if it is about the command.
func PrepareRun(request *Request, node policy.Node, o *RunOptions) (*Run, error) {
	settings, err := o.Settings.orDefault()
	if err != nil {
		return nil, err
	}
	if err := request.Complete(settings); err != nil {
		return nil, err
	}
	if err := checkTaskDir(o.TaskDir); err != nil {
		return nil, err
	}
	task := &Task{Dirs: Dirs{
		Task: o.TaskDir, Tmp: filepath.Join(o.Private, "tmp"), Clients: o.Private,
		Shared: o.Privilege == Unprivileged, NoOverlays: o.Privilege != Root,
	}}
	user, err := runUser(o, settings)
	if err != nil {
		return nil, err
	}
	s, err := decide(settings, &Host{Node: node, Cores: 1}, task, request, newAccount(user, o.Env, nil), policy.Resolve)
	if err != nil {
		return nil, err
	}
	if o.Privilege != UserNamespace { // in which a process has all
		if err := checkOwnCapabilities(s.capabilities); err != nil {
			return nil, err
		}
	}
	s.UserName = user.Name
	env := Environment(nil, nil, user.Name, s.Home)
	if task.Dirs.Shared {
		env["TMPDIR"] = task.Dirs.tmp()
	}
	for name, value := range o.Env {
		env[name] = value
	}
	addPresetEnvironment(env, o.Env, s.PresetEnv)
	addVariables(env, s.Variables())
	if field := ownNetwork(s); field != "" && o.Privilege != Root {
		return nil, fmt.Errorf("capability_policy: %s: it takes root to make its network: use sudo, or leave it out", field)
	}
	if err := s.plan(task, user, env); err != nil {
		return nil, err
	}
	s.Plan.Foreground = true
	s.Plan.Process.Terminal = o.Terminal
	s.Plan.Confinement.Unprivileged = o.Privilege != Root
	s.Plan.Isolation.UserNamespace = o.Privilege == UserNamespace
	if o.Privilege == Unprivileged {
		s.Plan.Isolation = executor.Isolation{Shared: true, HostPID: true, HostIPC: true}
	}
	r := &Run{plan: s.Plan, egress: s.Egress, Policy: s.Policy, private: o.Private, NotApplied: notApplied(s, o)}
	return r, lowerCore(s.Plan.Confinement.Limits)
}

// ownNetwork is the field by which a task has sockets in a network of its own; "" for
// none. Without that network they would be in the host's.
func ownNetwork(s *Sandbox) string {
	switch {
	case s.Egress != nil:
		return "egress"
	case s.Policy.Loopback:
		return "process_sandbox.allow_tcp_loopback"
	}
	return ""
}

// CommandError is about a command that is not there, then it is one of
// [fs.ErrNotExist], or that the task cannot execute.
type CommandError struct{ err error }

func (e *CommandError) Error() string { return e.err.Error() }

// Unwrap returns what is wrong.
func (e *CommandError) Unwrap() error { return e.err }

// Start starts the task in the foreground, with these descriptors 0, 1 and 2.
// The caller removes it with [executor.Task.Remove].
func (r *Run) Start(std [3]*os.File) (*executor.Task, error) {
	tmp := filepath.Join(r.private, "tmp")
	err := os.Mkdir(tmp, 0o700)
	if err == nil && !r.plan.Confinement.Unprivileged {
		err = os.Chown(tmp, int(r.plan.Confinement.User.UID), int(r.plan.Confinement.User.GID))
	}
	if err != nil {
		return nil, fmt.Errorf("making the task's tmp directory: %w", err)
	}
	if r.egress != nil {
		network, err := r.openEgress()
		if err != nil {
			return nil, err
		}
		defer network.Close()
		network.Join(r.plan)
	}
	return executor.StartForeground(filepath.Base(r.private), filepath.Join(r.private, "state"), r.plan, std)
}

// openEgress makes the task's network, and tells what it is denied.
func (r *Run) openEgress() (*egress.Network, error) {
	events, reports, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer reports.Close()
	network, err := r.egress.Open(r.Policy.ABI, reports, nil)
	if err != nil {
		events.Close()
		return nil, err
	}
	go func() {
		defer events.Close()
		egress.ReadEvents(events, func(e *egress.Event) {
			if r.Denied != nil {
				r.Denied(e.String())
			}
		})
	}()
	return network, nil
}

// User is who the task runs as.
func (r *Run) User() executor.User { return r.plan.Confinement.User }

// checkTaskDir refuses what no policy could name as a root.
func checkTaskDir(dir string) error {
	var reason string
	switch {
	case dir == "/":
		reason = "it is the whole file system"
	case landlock.Beneath("/proc", dir), landlock.Beneath("/dev", dir), landlock.Beneath("/sys", dir):
		reason = "it is a part of the kernel's own file systems, of which the task has private ones"
	case dir == privateTmp:
		reason = "the task has a private one: take a directory in it"
	default:
		return nil
	}
	return fmt.Errorf("the current directory, %s, cannot be the task directory: %s", plain.Name(dir), reason)
}

// runUser is who a task runs as without Nomad.
func runUser(o *RunOptions, settings *Settings) (identity, error) {
	if o.Privilege == Root {
		name := o.User
		if name == "" {
			name = defaultUser
		}
		return lookupUser(name, o.TaskDir, settings)
	}
	if o.User != "" {
		return identity{}, fmt.Errorf("user: %q: only root can run a task as somebody else: leave it out, or use sudo", o.User)
	}
	id := identity{User: executor.User{UID: uint32(os.Geteuid()), GID: uint32(os.Getegid())}}
	id.Name = strconv.Itoa(os.Geteuid())
	if u, err := user.LookupId(id.Name); err == nil {
		id.Name = u.Username
	}
	return id, nil
}

// lowerCore keeps the limit of core dumps that a task gets by itself from being
// more than the caller has.
func lowerCore(limits []executor.Limit) error {
	for i := range limits {
		l := &limits[i]
		if l.Resource != unix.RLIMIT_CORE {
			continue
		}
		var own unix.Rlimit
		if err := unix.Getrlimit(l.Resource, &own); err != nil {
			return fmt.Errorf("ulimit: core: %w", err)
		}
		l.Soft, l.Hard = min(l.Soft, own.Max), min(l.Hard, own.Max)
	}
	return nil
}

// notApplied says what a run leaves out of what the driver does.
func notApplied(s *Sandbox, run *RunOptions) []string {
	list := []string{"limits of CPU, memory and number of processes (cgroups): the task has those of this shell"}
	if s.request.CPUHardLimit || s.request.PidsLimit != 0 {
		list[0] += "; cpu_hard_limit and pids_limit of the job mean nothing here"
	}
	if run.Privilege == Root {
		return list
	}
	list = append(list, fmt.Sprintf("a user of its own, without root: the task is %s, with the file permissions and groups of that user; the policy is what limits it", plain.Name(s.UserName)))
	if run.Privilege != Unprivileged || !s.Policy.Confined() {
		return list
	}
	list = append(list,
		"a root of its own, without user namespaces: paths outside of the policy cannot be opened, but found",
		fmt.Sprintf("private /tmp, /dev/shm and /dev/pts: the task cannot use them, TMPDIR is %s", plain.Name(s.layout.dirs.tmp())),
		"a PID namespace: the task can list the processes in /proc",
		"an IPC namespace: System V and POSIX message queues and shared memory are those of this user",
		"masked paths, as /etc/shadow: file permissions alone decide",
	)
	if s.Policy.ABI.Rights().Scope == 0 {
		list = append(list, "keeping the task from sending signals to other processes of this user: it takes Landlock ABI 6")
	}
	if !s.Policy.Network {
		list = append(list, "an empty network namespace: seccomp and Landlock alone deny the network")
	}
	return list
}
