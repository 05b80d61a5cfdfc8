// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package cli

import (
	"fmt"
	"os"

	"github.com/hashicorp/hcl"
	"github.com/hashicorp/nomad/api"
	"github.com/hashicorp/nomad/jobspec2"

	"github.com/burin-labs/nomad-driver-harn/driver"
	"github.com/burin-labs/nomad-driver-harn/internal/plain"
	"github.com/burin-labs/nomad-driver-harn/policy"
	"github.com/burin-labs/nomad-driver-harn/sandbox"
)

// request is what a task asks for.
type request struct {
	config *sandbox.Request
	// task and group are of a job file; nil for a policy alone.
	task  *api.Task
	group *api.TaskGroup
}

// source is a file with a policy.
type source struct {
	file  string
	isJob bool
}

// fileSource is the one that is named of two files.
func fileSource(job, policyFile string) source {
	if job != "" {
		return source{job, true}
	}
	return source{policyFile, false}
}

// policyRequest asks for a policy alone.
func policyRequest(p *policy.Policy) *request {
	return &request{config: &sandbox.Request{Policy: p}}
}

// readRequest reads the configuration of a task, of a job or with a policy
// alone. operator is the plugin's configuration, nil for the default one.
func readRequest(operator *sandbox.Settings, from source, task string) (*request, error) {
	if from.isJob {
		return readJob(operator, from.file, task)
	}
	data, err := os.ReadFile(from.file)
	if err != nil {
		return nil, err
	}
	p, err := decodePolicy(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", plain.Name(from.file), err)
	}
	return policyRequest(p), nil
}

func decodePolicy(data []byte) (*policy.Policy, error) {
	p, _, err := policy.DecodeJSON(data)
	if err == nil {
		err = p.Validate()
	}
	return p, err
}

// readJob reads a task of a job.
func readJob(operator *sandbox.Settings, job, task string) (*request, error) {
	text, err := os.ReadFile(job)
	if err != nil {
		return nil, err
	}
	parsed, err := jobspec2.ParseWithConfig(&jobspec2.ParseConfig{Path: job, Body: text, AllowFS: true, Strict: true})
	if err != nil {
		return nil, err
	}
	r, err := findTask(parsed, task)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", plain.Name(job), err)
	}
	if r.config, err = driver.DecodeTask(operator, r.task.Config); err != nil {
		return nil, fmt.Errorf("%s: task %q: %w", plain.Name(job), r.task.Name, err)
	}
	return r, nil
}

// findTask returns the job's task of that name, or its only one of the driver.
func findTask(job *api.Job, name string) (*request, error) {
	var found []*request
	var names []string
	for _, group := range job.TaskGroups {
		for _, task := range group.Tasks {
			if task.Driver == driver.Name && (name == "" || name == task.Name) {
				found = append(found, &request{task: task, group: group})
				names = append(names, task.Name)
			}
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) == 0 && name != "":
		return nil, fmt.Errorf("no task %q with driver = %q", name, driver.Name)
	case len(found) == 0:
		return nil, fmt.Errorf("no task with driver = %q", driver.Name)
	}
	return nil, fmt.Errorf("several tasks have driver = %q: choose one by -task: %s", driver.Name, plain.Names(names))
}

// describe fills in what the job says of its task.
func (r *request) describe(f *sandbox.Forecast) {
	if r.task == nil {
		return
	}
	f.User = r.task.User
	if resources := r.task.Resources; resources != nil {
		if resources.MemoryMB != nil {
			f.MemoryMB = int64(*resources.MemoryMB)
		}
		if resources.MemoryMaxMB != nil {
			f.MemoryMaxMB = int64(*resources.MemoryMaxMB)
		}
	}
}

// limits are those of the job's resources that are not the driver's.
func (r *request) limits() []string {
	lines := []string{}
	if r.task == nil || r.task.Resources == nil {
		return lines
	}
	if n := r.task.Resources.CPU; n != nil {
		lines = append(lines, fmt.Sprintf("cpu: %d MHz", *n))
	}
	if n := r.task.Resources.Cores; n != nil && *n > 0 {
		lines = append(lines, fmt.Sprintf("cores: %d of the task's own", *n))
	}
	return lines
}

// network is whose network a task has that may use one.
func (r *request) network() string {
	if r.group != nil && len(r.group.Networks) > 0 {
		if mode := r.group.Networks[0].Mode; mode != "" && mode != "host" {
			return "the group's, mode " + mode
		}
	}
	return "the host's"
}

// volumes are what the job mounts. What is in them is known on a node alone.
func (r *request) volumes(found *sandbox.Explanation) (files []fileAccess) {
	if r.task == nil {
		return nil
	}
	for _, mount := range r.task.VolumeMounts {
		access, in := found.Workspace, found.VolumesIn
		if mount.ReadOnly != nil && *mount.ReadOnly {
			access, in = policy.ReadAccess, found.ReadOnlyVolumesIn
		}
		f := fileAccess{Access: letters(access), Rights: access.String(), Why: []string{"volume_mount"}}
		if mount.Destination != nil {
			f.Path = *mount.Destination
		}
		if mount.Volume != nil {
			f.Why[0] += " of " + *mount.Volume
		}
		if in != "" {
			f.Why[0] += ", if its source is in the operator's ceiling (" + in + ")"
		}
		files = append(files, f)
	}
	return files
}

// sharing are notes on the volumes that a dynamic user writes.
func (r *request) sharing(found *sandbox.Explanation) (notes []string) {
	if r.task == nil || r.task.User != "" || found.Workspace&^policy.ReadAccess == 0 {
		return nil
	}
	for _, mount := range r.task.VolumeMounts {
		if mount.Destination != nil && (mount.ReadOnly == nil || !*mount.ReadOnly) {
			notes = append(notes, sandbox.SharingNote(*mount.Destination))
		}
	}
	return notes
}

// readOperator reads the driver's plugin block in an agent's configuration: nil
// without a file, for the default one.
func readOperator(file string) (*sandbox.Settings, error) {
	if file == "" {
		return nil, nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var agent struct {
		Plugins []struct {
			Name   string         `hcl:",key"`
			Config map[string]any `hcl:"config"`
		} `hcl:"plugin"`
	}
	if err := hcl.Decode(&agent, string(data)); err != nil {
		return nil, fmt.Errorf("%s: %w", plain.Name(file), err)
	}
	for _, plugin := range agent.Plugins {
		if plugin.Name != Name {
			continue
		}
		config, err := driver.DecodeConfig(plugin.Config)
		if err != nil {
			return nil, fmt.Errorf("%s: plugin %q: %w", plain.Name(file), Name, err)
		}
		return &config.Settings, nil
	}
	return nil, fmt.Errorf("%s: it has no block plugin %q", plain.Name(file), Name)
}
