// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/nomad/plugins/drivers"
	"github.com/opencontainers/cgroups"
	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/executor"
	"github.com/burin-labs/nomad-driver-harn/landlock"
	"github.com/burin-labs/nomad-driver-harn/policy"
)

// prepared is a task that is ready to start.
type prepared struct {
	plan      *executor.Plan
	policy    *policy.Plan
	resources *cgroups.Resources
	state     TaskState
	notes     []string // what the task's user should know of its environment
}

// prepare turns Nomad's task into a plan. It changes nothing: what is wrong
// with the task is found here.
func prepare(config *Config, node policy.Node, cores int, cfg *drivers.TaskConfig) (*prepared, error) {
	task, err := decodeTask(config, cfg)
	if err != nil {
		return nil, err
	}
	dirs, err := findTaskDirs(cfg)
	if err != nil {
		return nil, err
	}
	dirs.HostFiles = config.hostFiles
	user, err := lookupUser(cfg.User, dirs.Task, config)
	if err != nil {
		return nil, err
	}
	withheld := withhold(cfg.Env)
	group, err := findCgroup(cfg)
	if err != nil {
		return nil, err
	}
	o, err := foresee(config, node, cores, cfg, task, dirs, newAccount(user, cfg.Env, withheld), &group, policy.Resolve)
	if err != nil {
		return nil, err
	}
	if err := checkOwnCapabilities(o.capabilities); err != nil {
		return nil, err
	}
	workDir, err := o.view.findWorkDir(task.WorkDir, dirs.Task)
	if err != nil {
		return nil, err
	}
	env := taskEnvironment(cfg.Env, withheld, user.Name, o.home)
	process, err := o.process(task, dirs.Task, workDir, env)
	if err != nil {
		return nil, err
	}
	logs, err := planLogs(config, cfg, task)
	if err != nil {
		return nil, err
	}
	p := &prepared{policy: o.enforced, resources: o.resources, notes: slices.Concat(withheldNote(withheld), hiddenDirsNote(o.view, env))}
	p.plan = &executor.Plan{
		World:       o.world(cfg),
		Confinement: o.confinement(task, user, &group),
		Process:     process,
		Logs:        logs,
	}
	p.state = TaskState{
		StateDir:   recordsDir(config.StateDir, cfg.AllocID, cfg.Name, cfg.ID),
		TaskDir:    dirs.Task,
		WorkDir:    workDir,
		UserName:   user.Name,
		Home:       o.home,
		Withheld:   withheld,
		Cgroup:     group,
		Places:     placesOf(&p.plan.World),
		Attributes: attributes(o.enforced, user),
	}
	return p, nil
}

// decodeTask decodes the config block of a task.
func decodeTask(config *Config, cfg *drivers.TaskConfig) (*TaskConfig, error) {
	var task TaskConfig
	if err := cfg.DecodeDriverConfig(&task); err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	return &task, task.complete(config)
}

// complete gives a task without a policy the operator's default, and checks it.
func (c *TaskConfig) complete(config *Config) error {
	if c.Policy == nil && config.DefaultPolicy != nil {
		c.Policy = config.DefaultPolicy.Clone()
	}
	return c.validate()
}

// outlook is what a task may do, whatever its program is.
type outlook struct {
	modes        modes
	limits       []executor.Limit
	resources    *cgroups.Resources
	effective    *policy.Policy // what the ceiling leaves of the request
	roots        policy.Roots
	surroundings *taskWorld
	enforced     *policy.Plan
	capabilities []int
	view         *view
	home         string // HOME, unless the job sets it
}

// resolver looks the roots of a policy up, as [policy.Resolve] does.
type resolver func(p *policy.Policy, taskDir string, own []string) (policy.Roots, error)

// foresee decides what a task may do.
func foresee(config *Config, node policy.Node, cores int, cfg *drivers.TaskConfig, task *TaskConfig, dirs *taskDirs, who *account, group *cgroup, resolve resolver) (o *outlook, err error) {
	o = &outlook{}
	if o.modes, err = decideModes(task, config); err != nil {
		return nil, err
	}
	if o.limits, err = parseLimits(task.Ulimit); err != nil {
		return nil, err
	}
	if o.resources, err = makeResources(cfg, task, config, cores); err != nil {
		return nil, err
	}
	if o.effective, o.roots, err = decide(config.Ceiling, task.Policy, dirs, resolve); err != nil {
		return nil, fmt.Errorf("capability_policy: %w", err)
	}
	includeOwn(&o.roots, dirs.Task)
	places := protectedPlaces(config, dirs, config.agent)
	if err := checkRoots(places, o.roots); err != nil {
		return nil, fmt.Errorf("capability_policy: %w", err)
	}
	volumes, err := findVolumes(cfg.Mounts, dirs, config.systemReadRoots(), places)
	if err != nil {
		return nil, err
	}
	if err := checkVolumes(config.Ceiling, volumes, dirs); err != nil {
		return nil, err
	}
	devices, err := findDevices(cfg.Devices)
	if err != nil {
		return nil, err
	}
	named, err := namedDevices(o.effective.Devices, config.Devices)
	if err != nil {
		return nil, fmt.Errorf("capability_policy: %w", err)
	}
	devices = append(devices, named...)
	o.surroundings = makeWorld(dirs, config.systemReadRoots(), group, volumes, devices, places)
	o.surroundings.modes = o.modes
	if o.surroundings.aliases, err = findAliases(o.roots, volumes, dirs, places); err != nil {
		return nil, err
	}
	o.surroundings.setDNS(findDNS(cfg))
	access := o.effective.WorkspaceAccess()
	o.surroundings.addPrivate(o.roots, access)
	o.surroundings.listTaskDir(o.roots, access)
	o.home = o.surroundings.homeDir(who, o.roots, access)
	o.surroundings.accounts = who.files(o.home)
	if o.capabilities, err = profileCapabilities(task, config.allowCaps, o.effective); err != nil {
		return nil, err
	}
	node.NetRaw = slices.Contains(o.capabilities, unix.CAP_NET_RAW)
	node.NetAdmin = slices.Contains(o.capabilities, unix.CAP_NET_ADMIN)
	if o.enforced, err = policy.Build(o.effective, o.roots, o.surroundings.policy, node); err != nil {
		return nil, fmt.Errorf("capability_policy: %w", err)
	}
	if o.limits, err = limitCore(o.limits, o.enforced.Profile); err != nil {
		return nil, err
	}
	if o.enforced.Confined() {
		o.enforced.Notes = slices.Concat(o.enforced.Notes, o.surroundings.notes, o.surroundings.overlayNote())
	}
	o.enforced.Notes = append(o.enforced.Notes, who.ownerNotes(o.surroundings, o.roots.Workspace)...)
	if o.view, err = makeView(o.surroundings, o.roots, o.effective.WorkspaceAccess(), o.enforced); err != nil {
		return nil, fmt.Errorf("capability_policy: %w", err)
	}
	return o, nil
}

func (o *outlook) world(cfg *drivers.TaskConfig) executor.World {
	return executor.World{
		Network:     network(cfg, o.enforced.Network),
		HostPID:     o.modes.hostPID,
		HostIPC:     o.modes.hostIPC,
		PrivateRoot: o.view.private,
		Mounts:      o.view.list(),
		Closed:      o.view.closed,
	}
}

// process is the task's program, with the whole environment env.
func (o *outlook) process(task *TaskConfig, taskDir, workDir string, env map[string]string) (executor.Process, error) {
	finder := &finder{view: o.view, taskDir: taskDir, path: env["PATH"], readOnly: o.effective.ReadOnlyRoots}
	program, err := finder.find(task.Command)
	if err != nil {
		return executor.Process{}, err
	}
	return executor.Process{
		Path: program,
		Args: append([]string{program}, task.Args...),
		Env:  environmentList(env),
		Dir:  workDir,
	}, nil
}

func (o *outlook) confinement(task *TaskConfig, user identity, group *cgroup) executor.Confinement {
	return executor.Confinement{
		User:         user.User,
		Ruleset:      o.enforced.Landlock,
		Filter:       o.enforced.Filter(),
		Cgroups:      group.dirs(),
		OwnCgroup:    group.own(),
		OOMScoreAdj:  int(task.OOMScoreAdj),
		Nice:         int(task.Nice),
		Limits:       o.limits,
		Capabilities: o.capabilities,

		SessionsSignal: o.sessionsSignal(user),
	}
}

// sessionsSignal reports whether sessions may signal all that their user may: whether
// that is the task. In the host's PID namespace it is if the user is no other task's.
func (o *outlook) sessionsSignal(user identity) bool {
	if !o.modes.hostPID {
		return true
	}
	return strings.HasPrefix(user.Name, dynamicPrefix) && user.UID >= minDynamicUID && !slices.Contains(o.capabilities, unix.CAP_KILL)
}

// modes are the namespaces that a task shares with the host.
type modes struct{ hostPID, hostIPC bool }

func decideModes(task *TaskConfig, config *Config) (modes, error) {
	m := modes{hostPID: task.PIDMode == modeHost, hostIPC: task.IPCMode == modeHost}
	if m.hostPID && !config.AllowHostPID {
		return m, fmt.Errorf("pid_mode: %q is not allowed by the operator (plugin option allow_host_pid)", modeHost)
	}
	if m.hostIPC && !config.AllowHostIPC {
		return m, fmt.Errorf("ipc_mode: %q is not allowed by the operator (plugin option allow_host_ipc)", modeHost)
	}
	return m, nil
}

// decide applies the operator's ceiling to the job's request, and looks the
// roots up.
func decide(ceiling, request *policy.Policy, dirs *taskDirs, resolve resolver) (*policy.Policy, policy.Roots, error) {
	effective, err := policy.Intersect(policy.Named(ceiling), request, dirs.names())
	if err != nil {
		return nil, policy.Roots{}, err
	}
	roots, err := resolve(effective, dirs.Task, dirs.own())
	if err != nil {
		return nil, policy.Roots{}, err
	}
	if err := policy.CheckCeiling(ceiling, roots, dirs.own()); err != nil {
		return nil, policy.Roots{}, err
	}
	return effective, roots, nil
}

func network(cfg *drivers.TaskConfig, allowed bool) executor.Network {
	if !allowed {
		return executor.Network{Isolated: true}
	}
	if iso := cfg.NetworkIsolation; iso != nil && iso.Path != "" {
		return executor.Network{Namespace: iso.Path}
	}
	return executor.Network{}
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
	path, err := v.resolve(path)
	if err != nil {
		return "", fmt.Errorf("work_dir: %q: %w", dir, err)
	}
	if err := checkPath(v.places, dir, path, false); err != nil {
		return "", fmt.Errorf("work_dir: %w", err)
	}
	if !v.admits(path, landlock.ReadDir) {
		return "", fmt.Errorf("work_dir: %q is outside of every root that the task may read: add it to read_only_roots or workspace_roots", dir)
	}
	return path, nil
}

// attributes are what InspectTask shows of a task's confinement.
func attributes(plan *policy.Plan, user identity) map[string]string {
	a := map[string]string{
		"profile":         plan.Profile.String(),
		"user":            user.Name,
		"network":         "denied",
		"landlock_abi":    "none",
		"denied_syscalls": "none",
	}
	if plan.Network {
		a["network"] = "allowed"
	}
	if plan.Deny != nil {
		a["denied_syscalls"] = plan.Groups()
	}
	if plan.Landlock != nil {
		a["landlock_abi"] = strconv.Itoa(int(plan.ABI))
	}
	return a
}
