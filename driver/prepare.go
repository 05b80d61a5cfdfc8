// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"github.com/hashicorp/nomad/plugins/drivers"

	"github.com/burin-labs/nomad-driver-harn/cgroup"
	"github.com/burin-labs/nomad-driver-harn/denials"
	"github.com/burin-labs/nomad-driver-harn/sandbox"
)

// prepared is a task that is ready to start.
type prepared struct {
	*sandbox.Sandbox
	state TaskState
}

// prepare turns Nomad's task into a sandbox. It changes nothing: what is wrong
// with the task is found here.
func prepare(config *Config, host *sandbox.Host, hostFiles string, cfg *drivers.TaskConfig) (*prepared, error) {
	request, err := decodeTask(&config.Settings, cfg)
	if err != nil {
		return nil, err
	}
	dirs, err := findTaskDirs(cfg)
	if err != nil {
		return nil, err
	}
	dirs.HostFiles = hostFiles
	group, err := cgroup.Find(cpuset(cfg), cfg.AllocID, cfg.Name)
	if err != nil {
		return nil, err
	}
	s, err := sandbox.Build(&config.Settings, host, translate(cfg, dirs, &group), request)
	if err != nil {
		return nil, err
	}
	if s.Plan.Logs, err = planLogs(config, cfg, request); err != nil {
		return nil, err
	}
	return &prepared{s, TaskState{
		StateDir:   recordsDir(config.StateDir, cfg.AllocID, cfg.Name, cfg.ID),
		TaskDir:    dirs.Task,
		WorkDir:    s.WorkDir,
		UserName:   s.UserName,
		Home:       s.Home,
		Withheld:   s.Withheld,
		PresetEnv:  s.PresetEnv,
		Cgroup:     group,
		Places:     denials.PlacesOf(&s.Plan.Isolation),
		Attributes: s.Attributes(),
		Variables:  s.Variables(),
	}}, nil
}

// cpuset is the path of the cgroup that the client names; "" if it names none.
func cpuset(cfg *drivers.TaskConfig) string {
	if cfg.Resources == nil || cfg.Resources.LinuxResources == nil {
		return ""
	}
	return cfg.Resources.LinuxResources.CpusetCgroupPath
}

// translate says of Nomad's task what a sandbox is built from.
func translate(cfg *drivers.TaskConfig, dirs *sandbox.Dirs, group *cgroup.Group) *sandbox.Task {
	task := &sandbox.Task{Dirs: *dirs, User: cfg.User, Env: cfg.Env, Cgroups: group.Dirs(), OwnCgroup: group.Own()}
	for _, m := range cfg.Mounts {
		task.Mounts = append(task.Mounts, sandbox.Mount{HostPath: m.HostPath, TaskPath: m.TaskPath, ReadOnly: m.Readonly, PropagationMode: m.PropagationMode})
	}
	for _, d := range cfg.Devices {
		task.Devices = append(task.Devices, sandbox.DeviceMount{HostPath: d.HostPath, TaskPath: d.TaskPath, Permissions: d.Permissions})
	}
	if dns := cfg.DNS; dns != nil {
		task.DNS = &sandbox.DNS{Servers: dns.Servers, Searches: dns.Searches, Options: dns.Options}
	}
	task.Ports = publishedPorts(cfg)
	if network := cfg.NetworkIsolation; network != nil {
		task.NetworkNamespace = network.Path
	}
	if resources := cfg.Resources; resources != nil {
		if nomad := resources.NomadResources; nomad != nil {
			task.Resources.MemoryMB, task.Resources.MemoryMaxMB = nomad.Memory.MemoryMB, nomad.Memory.MemoryMaxMB
		}
		if linux := resources.LinuxResources; linux != nil {
			task.Resources.CPUShares, task.Resources.CPUFraction, task.Resources.Cpuset = linux.CPUShares, linux.PercentTicks, linux.CpusetCpus
		}
	}
	return task
}
