// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"fmt"
	"path/filepath"
	"strconv"

	"github.com/hashicorp/nomad/plugins/drivers"
	"github.com/opencontainers/cgroups"

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
}

// prepare turns Nomad's task into a plan. It changes nothing: what is wrong
// with the task is found here.
func prepare(config *Config, node policy.Node, cores int, cfg *drivers.TaskConfig) (*prepared, error) {
	var task TaskConfig
	if err := cfg.DecodeDriverConfig(&task); err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	if err := task.validate(); err != nil {
		return nil, err
	}
	dirs, err := findTaskDirs(cfg)
	if err != nil {
		return nil, err
	}
	user, err := lookupUser(cfg.User, dirs.Task, config)
	if err != nil {
		return nil, err
	}

	modes, err := decideModes(&task, config)
	if err != nil {
		return nil, err
	}
	node.SharedPID = modes.hostPID
	limits, err := parseLimits(task.Ulimit)
	if err != nil {
		return nil, err
	}
	group, err := findCgroup(cfg)
	if err != nil {
		return nil, err
	}
	resources, err := makeResources(cfg, &task, config, cores)
	if err != nil {
		return nil, err
	}
	effective, roots, err := decide(config.Ceiling, task.Policy, dirs)
	if err != nil {
		return nil, fmt.Errorf("capability_policy: %w", err)
	}
	volumes, err := findVolumes(cfg.Mounts, dirs)
	if err != nil {
		return nil, err
	}
	devices, err := findDevices(cfg.Devices)
	if err != nil {
		return nil, err
	}
	named, err := namedDevices(effective.Devices, config.Devices)
	if err != nil {
		return nil, fmt.Errorf("capability_policy: %w", err)
	}
	devices = append(devices, named...)
	world := makeWorld(dirs, &group, volumes, devices, append([]string{config.StateDir}, config.MaskedPaths...))
	world.modes = modes
	world.setDNS(findDNS(cfg))
	enforced, err := policy.Build(effective, roots, world.policy, node)
	if err != nil {
		return nil, fmt.Errorf("capability_policy: %w", err)
	}
	if limits, err = limitCore(limits, enforced.Profile); err != nil {
		return nil, err
	}
	capabilities, err := profileCapabilities(&task, config.allowCaps, enforced)
	if err != nil {
		return nil, err
	}
	view, err := makeView(world, roots, effective.WorkspaceAccess(), enforced)
	if err != nil {
		return nil, fmt.Errorf("capability_policy: %w", err)
	}
	workDir, err := view.findWorkDir(task.WorkDir, dirs.Task, roots)
	if err != nil {
		return nil, err
	}
	env := taskEnvironment(cfg.Env, user.Name, workDir)
	program, err := view.findCommand(task.Command, dirs.Task, env["PATH"])
	if err != nil {
		return nil, err
	}

	p := &prepared{policy: enforced, resources: resources}
	p.plan = &executor.Plan{
		World: executor.World{
			Network:     network(cfg, enforced.Network),
			HostPID:     modes.hostPID,
			HostIPC:     modes.hostIPC,
			PrivateRoot: view.private,
			Mounts:      view.list(),
		},
		Confinement: executor.Confinement{
			User:         user.User,
			Ruleset:      enforced.Landlock,
			Filter:       enforced.Filter(),
			Cgroups:      group.dirs(),
			OwnCgroup:    group.own(),
			OOMScoreAdj:  int(task.OOMScoreAdj),
			Nice:         int(task.Nice),
			Limits:       limits,
			Capabilities: capabilities,
		},
		Process: executor.Process{
			Path: program,
			Args: append([]string{program}, task.Args...),
			Env:  environmentList(env),
			Dir:  workDir,
		},
	}
	p.state = TaskState{
		StateDir:   recordsDir(config.StateDir, cfg.AllocID, cfg.Name, cfg.ID),
		TaskDir:    dirs.Task,
		WorkDir:    workDir,
		UserName:   user.Name,
		Cgroup:     group,
		Attributes: attributes(enforced, user),
	}
	return p, nil
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
func decide(ceiling, request *policy.Policy, dirs *taskDirs) (*policy.Policy, policy.Roots, error) {
	effective, err := policy.Intersect(ceiling, request)
	if err != nil {
		return nil, policy.Roots{}, err
	}
	roots, err := policy.Resolve(effective, dirs.Task, dirs.own())
	if err != nil {
		return nil, policy.Roots{}, err
	}
	if err := policy.CheckCeiling(ceiling, roots, dirs.own()); err != nil {
		return nil, policy.Roots{}, err
	}
	return effective, roots, dirs.checkRoots(roots)
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

// findWorkDir returns the working directory. It lies within the policy: a task
// that cannot list where it stands is of little use.
func (v *view) findWorkDir(dir, taskDir string, roots policy.Roots) (string, error) {
	if dir == "" {
		if v.admits(taskDir, landlock.ReadDir) || len(roots.Workspace) == 0 {
			return taskDir, nil
		}
		return roots.Workspace[0], nil
	}
	path := dir
	if !filepath.IsAbs(path) {
		path = filepath.Join(taskDir, path)
	}
	path, err := v.resolve(path)
	if err != nil {
		return "", fmt.Errorf("work_dir: %q: %w", dir, err)
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
