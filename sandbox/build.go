// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/executor"
	"github.com/burin-labs/nomad-driver-harn/internal/plain"
	"github.com/burin-labs/nomad-driver-harn/landlock"
	"github.com/burin-labs/nomad-driver-harn/policy"
)

// Sandbox is what a task may do, and the plan by which the kernel enforces it.
type Sandbox struct {
	// Plan is for package executor, without logs, which are the caller's. It is nil
	// in what [Explain] decides, where there is no program.
	Plan *executor.Plan
	// Policy is what is enforced of the request.
	Policy *policy.Plan
	// Cgroup are the settings of the task's cgroups.
	Cgroup *CgroupLimits
	// Egress is the task's network, if its policy names hosts; nil if it does not. The plan
	// is to be joined to it: as it stands, the task has no network then.
	Egress *Egress
	// Notes are what the task's user should know of its environment.
	Notes []string
	// UserName is the name of who the task runs as.
	UserName string
	// Home is HOME, unless the job sets it.
	Home string
	// WorkDir is the working directory, a path of the task's view.
	WorkDir string
	// Unset is the real path of the program if it is a file of the task's own that is
	// not executable yet: see [MakeExecutable]. "" otherwise.
	Unset string
	// PresetEnv are the variables that presets set: see [TaskEnvironment].
	PresetEnv map[string]string
	// Withheld are the names of variables that the task does not get: see [Withhold].
	Withheld []string

	settings     *Settings
	request      *Request
	modes        modes
	limits       []executor.Limit
	effective    *policy.Policy // what the ceiling leaves of the request
	roots        policy.Roots
	layout       *layout
	capabilities []int
	view         *view
}

// Build decides what a task may do, and plans its start. It changes nothing: what
// is wrong with the task is found here.
func Build(settings *Settings, host *Host, task *Task, request *Request) (*Sandbox, error) {
	if err := request.Complete(settings); err != nil {
		return nil, err
	}
	user, err := lookupUser(task.User, task.Dirs.Task, settings)
	if err != nil {
		return nil, err
	}
	who := newAccount(user, task.Env, Withhold(task.Env))
	s, err := decide(settings, host, task, request, who, policy.Resolve)
	if err != nil {
		return nil, err
	}
	if err := checkOwnCapabilities(s.capabilities); err != nil {
		return nil, err
	}
	s.UserName = user.Name
	env := TaskEnvironment(task.Env, s.Withheld, user.Name, s.Home, s.PresetEnv, s.Variables())
	if err := s.plan(task, user, env); err != nil {
		return nil, err
	}
	s.Notes = slices.Concat(withheldNote(s.Withheld), homeNote(who, s.Withheld, s.Home), hiddenDirsNote(s.view, env))
	return s, nil
}

// plan plans the start of the request's program, with the whole environment env.
func (s *Sandbox) plan(task *Task, user identity, env map[string]string) error {
	var err error
	if s.WorkDir, err = s.view.findWorkDir(s.request.WorkDir, task.Dirs.Task); err != nil {
		return err
	}
	process, err := s.process(&task.Dirs, env)
	if err != nil {
		return err
	}
	s.Plan = &executor.Plan{Isolation: s.isolation(task), Confinement: s.confinement(task, user), Process: process}
	return nil
}

// resolver looks the roots of a policy up, as [policy.Resolve] does.
type resolver func(p *policy.Policy, taskDir string, own []string) (policy.Roots, error)

// decide decides what a task may do, whatever its program is.
func decide(settings *Settings, host *Host, task *Task, request *Request, who *account, resolve resolver) (s *Sandbox, err error) {
	s = &Sandbox{settings: settings, request: request}
	found := task.Dirs
	dirs := &found
	if s.modes, err = decideModes(request, settings); err != nil {
		return nil, err
	}
	if s.limits, err = parseLimits(request.Ulimit); err != nil {
		return nil, err
	}
	if s.Cgroup, err = cgroupLimits(&task.Resources, request, settings, host.Cores); err != nil {
		return nil, err
	}
	if s.effective, s.roots, err = effectivePolicy(settings.Ceiling, request.Policy, dirs, resolve); err != nil {
		return nil, fmt.Errorf("capability_policy: %w", err)
	}
	var presetNotes []string
	if s.PresetEnv, presetNotes, err = settings.addPresets(s.effective, &s.roots, who.homeOutside(dirs)); err != nil {
		return nil, fmt.Errorf("capability_policy: %w", err)
	}
	if err := checkEgress(settings, s.effective, task); err != nil {
		return nil, err
	}
	sources := writableSources(task.Mounts)
	s.roots.Protect(s.effective, sources)
	includeOwn(&s.roots, dirs.Task)
	dirs.findStorage(task.Mounts)
	marked, err := markedPlaces(request.Policy, settings.Ceiling, &s.roots, sources, dirs, slices.Concat(shownOf(&s.roots, task.Mounts, dirs), dirs.own()))
	if err != nil {
		return nil, fmt.Errorf("capability_policy: %w", err)
	}
	driverPlaces := protectedPlaces(settings, dirs, host.Agent)
	if err := checkOwn(driverPlaces, dirs.Task); err != nil {
		return nil, err
	}
	mounted := sync.OnceValues(readHostMounts)
	credentials, err := credentialPlaces(shownOf(&s.roots, task.Mounts, dirs), mounted)
	if err != nil {
		return nil, err
	}
	places := slices.Concat(driverPlaces, marked, credentials)
	if err := checkRoots(places, s.roots); err != nil {
		return nil, fmt.Errorf("capability_policy: %w", err)
	}
	volumes, err := findVolumes(task.Mounts, dirs, settings.systemReadRoots(), places)
	if err != nil {
		return nil, err
	}
	if _, err := findDestinations(task.Destinations, dirs, settings.systemReadRoots(), places); err != nil {
		return nil, err
	}
	if err := checkVolumes(settings.Ceiling, volumes, dirs); err != nil {
		return nil, err
	}
	devices, err := findDevices(task.Devices)
	if err != nil {
		return nil, err
	}
	named, err := namedDevices(s.effective.Devices, settings.Devices)
	if err != nil {
		return nil, fmt.Errorf("capability_policy: %w", err)
	}
	devices = append(devices, named...)
	s.layout = makeLayout(dirs, settings.systemReadRoots(), task.Cgroups, volumes, devices, places)
	s.layout.modes = s.modes
	s.layout.modes.unrestricted = s.effective.Profile() == policy.Unrestricted
	if !s.modes.hostIPC && !dirs.Shared {
		s.layout.policy.Scratch = append(s.layout.policy.Scratch, messageQueues)
	}
	if s.layout.aliases, err = findAliases(s.roots, volumes, dirs, places, mounted); err != nil {
		return nil, err
	}
	if err := checkMarks(request.Policy, marked, &s.roots, sources, s.layout.aliases); err != nil {
		return nil, fmt.Errorf("capability_policy: %w", err)
	}
	if s.effective.Egress != nil {
		s.layout.hosts = egressHosts(s.effective.Egress.Rules())
		s.layout.setDNS(egressDNS(s.effective))
	} else {
		s.layout.setDNS(findDNS(task))
	}
	access := s.effective.WorkspaceAccess()
	s.layout.addPrivate(s.roots, access)
	s.layout.listTaskDir(s.roots, access)
	s.layout.findServers(s.roots, s.effective.ConnectsInWorkspace())
	s.Home = s.layout.homeDir(who, s.roots, access)
	s.Withheld = who.keepHome(s.layout, s.roots)
	s.layout.accounts = who.files(s.Home)
	if s.capabilities, err = profileCapabilities(request, settings.allowCaps, s.effective); err != nil {
		return nil, err
	}
	if who.UID == 0 || len(s.capabilities) > 0 {
		if err := checkOwnLinks(s.roots, dirs); err != nil {
			return nil, fmt.Errorf("capability_policy: %w", err)
		}
	}
	node := host.Node
	node.Fallback = settings.fallback
	node.NetRaw = slices.Contains(s.capabilities, unix.CAP_NET_RAW)
	node.NetAdmin = slices.Contains(s.capabilities, unix.CAP_NET_ADMIN)
	if s.Policy, err = policy.Build(s.effective, s.roots, s.layout.policy, node); err != nil {
		return nil, fmt.Errorf("capability_policy: %w", err)
	}
	if err := s.planEgress(task); err != nil {
		return nil, err
	}
	if s.limits, err = limitCore(s.limits, s.Policy.Profile); err != nil {
		return nil, err
	}
	if s.Policy.Confined() {
		s.Policy.Notes = slices.Concat(s.Policy.Notes, s.layout.notes, s.layout.overlayNote())
	}
	s.Policy.Notes = append(s.Policy.Notes, presetNotes...)
	if roots := request.Policy.WorkspaceRoots; roots != nil && len(roots) == 0 {
		s.Policy.Notes = append(s.Policy.Notes, "workspace_roots = [] is the task's own directories, as it is without the field: for less, name one of them, as [\"local\"]")
	}
	s.Policy.Notes = append(s.Policy.Notes, who.ownerNotes(s.layout, s.roots)...)
	if s.view, err = makeView(s.layout, s.roots, access, s.Policy); err != nil {
		return nil, fmt.Errorf("capability_policy: %w", err)
	}
	return s, nil
}

func (s *Sandbox) isolation(task *Task) executor.Isolation {
	return executor.Isolation{
		Network:     network(task, s.Policy, s.Egress != nil),
		HostPID:     s.modes.hostPID,
		HostIPC:     s.modes.hostIPC,
		PrivateRoot: s.view.private,
		Mounts:      s.view.list(),
		Closed:      s.view.closed,
	}
}

// process is the task's program, with the whole environment env.
func (s *Sandbox) process(dirs *Dirs, env map[string]string) (executor.Process, error) {
	finder := &finder{view: s.view, taskDir: dirs.Task, path: env["PATH"], readOnly: s.effective.ReadOnlyRoots}
	if dirs.Mounts != "" {
		finder.own = dirs.Task // else it is its user's, as it is
	}
	program, err := finder.find(s.request.Command)
	if err != nil {
		return executor.Process{}, &CommandError{err}
	}
	s.Unset = finder.unset
	return executor.Process{
		Path: program,
		Args: append([]string{program}, s.request.Args...),
		Env:  EnvironmentList(env),
		Dir:  s.WorkDir,
	}, nil
}

func (s *Sandbox) confinement(task *Task, user identity) executor.Confinement {
	return executor.Confinement{
		User:         user.User,
		Ruleset:      s.Policy.Landlock,
		Filter:       s.Policy.Filter(),
		Cgroups:      task.Cgroups,
		OwnCgroup:    task.OwnCgroup,
		OOMScoreAdj:  int(s.request.OOMScoreAdj),
		Nice:         int(s.request.Nice),
		Limits:       s.limits,
		Capabilities: s.capabilities,

		SessionsSignal: s.sessionsSignal(user),
	}
}

// sessionsSignal reports whether sessions may signal all that their user may: whether
// that is the task. In the host's PID namespace it is if the user is no other task's.
func (s *Sandbox) sessionsSignal(user identity) bool {
	if !s.modes.hostPID {
		return true
	}
	return strings.HasPrefix(user.Name, dynamicPrefix) && user.UID >= minDynamicUID && !slices.Contains(s.capabilities, unix.CAP_KILL)
}

// modes are the namespaces that a task shares with the host.
type modes struct{ hostPID, hostIPC, unrestricted bool }

func decideModes(request *Request, settings *Settings) (modes, error) {
	m := modes{hostPID: request.PIDMode == modeHost, hostIPC: request.IPCMode == modeHost}
	if m.hostPID && !settings.AllowHostPID {
		return m, fmt.Errorf("pid_mode: %q is not allowed by the operator (plugin option allow_host_pid)", modeHost)
	}
	if m.hostIPC && !settings.AllowHostIPC {
		return m, fmt.Errorf("ipc_mode: %q is not allowed by the operator (plugin option allow_host_ipc)", modeHost)
	}
	return m, nil
}

// effectivePolicy applies the operator's ceiling to the job's request, and looks the
// roots up.
func effectivePolicy(ceiling, request *policy.Policy, dirs *Dirs, resolve resolver) (*policy.Policy, policy.Roots, error) {
	effective, err := policy.Intersect(policy.Named(ceiling), request, dirs.names())
	if err != nil {
		return nil, policy.Roots{}, err
	}
	type resolved struct {
		roots policy.Roots
		err   error
	}
	found := &resolved{}
	if !patient.run("roots of "+dirs.Task, func() { found.roots, found.err = resolve(effective, dirs.Task, dirs.own()) }) {
		return nil, policy.Roots{}, silent("one of the roots " + plain.Names(rootsOf(effective)))
	}
	roots, err := found.roots, found.err
	if err != nil {
		return nil, policy.Roots{}, err
	}
	if err := policy.CheckCeiling(ceiling, roots, dirs.own()); err != nil {
		return nil, policy.Roots{}, err
	}
	return effective, roots, nil
}

// rootsOf are the roots that a policy names.
func rootsOf(p *policy.Policy) (roots []string) {
	p.Each(func(f *policy.Field) {
		if list, ok := f.Value(p).(*[]string); ok && f.Role != policy.NoRole {
			roots = append(roots, *list...)
		}
	})
	return roots
}

func network(task *Task, plan *policy.Plan, egress bool) executor.Network {
	if !plan.Network || egress {
		return executor.Network{Isolated: true, Loopback: plan.Loopback}
	}
	return executor.Network{Namespace: task.NetworkNamespace}
}

// findWorkDir returns the working directory: the task directory, whatever the
// policy is, or what the job names. That lies within the policy: a task that
// cannot list where it stands is of little use.
func (v *view) findWorkDir(dir, taskDir string) (string, error) {
	if dir == "" {
		return taskDir, nil
	}
	path := dir
	if !filepath.IsAbs(path) {
		path = filepath.Join(taskDir, path)
	}
	if filepath.Clean(path) == "/" {
		return "", fmt.Errorf("work_dir: %q is the whole file system, of which the task sees a part: leave work_dir out, and the task starts in the task directory", dir)
	}
	outside := fmt.Errorf("work_dir: %q is outside of every root that the task may read: add it to read_only_roots or workspace_roots", dir)
	hint := policy.Hint(dir)
	if hint != "" {
		outside = fmt.Errorf("work_dir: %q was not found: %s", dir, hint)
	}
	if err := checkPath(v.places, dir, filepath.Clean(path), false); err != nil {
		return "", fmt.Errorf("work_dir: %w", err)
	}
	if v.conceals(path) {
		return "", outside
	}
	at, err := v.resolve(path, v.conceals)
	if err != nil {
		switch {
		case errors.Is(err, errConcealed):
			return "", outside
		case hint != "":
			return "", outside
		case landlock.Beneath(privateTmp, path) && !landlock.Beneath(taskDir, path):
			return "", fmt.Errorf("work_dir: %q: the task has a private %s, which is empty when it starts: name a directory in local", dir, privateTmp)
		case errors.Is(err, fs.ErrNotExist):
			return "", fmt.Errorf("work_dir: %q does not exist: create it before the task starts, as by a template or an artifact, or correct the path: %w", dir, err)
		}
		return "", fmt.Errorf("work_dir: %q: %w", dir, err)
	}
	if host, visible := v.hostPath(at); visible {
		if info, err := os.Stat(host); err == nil && !info.IsDir() {
			return "", fmt.Errorf("work_dir: %q is a file, expected a directory", dir)
		}
	}
	if err := checkPath(v.places, dir, at, false); err != nil {
		return "", fmt.Errorf("work_dir: %w", err)
	}
	if !v.admits(at, landlock.ReadDir) {
		return "", outside
	}
	return at, nil
}

// Attributes are what an inspection of the task shows of its confinement.
func (s *Sandbox) Attributes() map[string]string {
	a := map[string]string{
		"profile":         s.Policy.Profile.String(),
		"user":            s.UserName,
		"network":         "denied",
		"landlock_abi":    "none",
		"denied_syscalls": "none",
	}
	switch {
	case s.Egress != nil:
		a["network"] = "egress"
	case s.Policy.Network:
		a["network"] = "allowed"
	case s.Policy.Loopback:
		a["network"] = "loopback"
	}
	if s.Policy.Deny != nil {
		a["denied_syscalls"] = s.Policy.Groups()
	}
	if s.Policy.Landlock != nil {
		a["landlock_abi"] = strconv.Itoa(int(s.Policy.ABI))
	}
	return a
}
