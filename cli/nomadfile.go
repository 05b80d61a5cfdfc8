// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package cli

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/hashicorp/hcl"
	hcl2 "github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/nomad/api"
	"github.com/hashicorp/nomad/jobspec2"

	"github.com/burin-labs/nomad-driver-harn/cli/command"
	"github.com/burin-labs/nomad-driver-harn/driver"
	"github.com/burin-labs/nomad-driver-harn/internal/plain"
	"github.com/burin-labs/nomad-driver-harn/sandbox"
)

// reader reads Nomad's files by Nomad's own parsers.
type reader struct{ *command.Streams }

// Job implements command.Reader.
func (r reader) Job(settings *sandbox.Settings, file, name string, at *command.Place) (*command.Job, error) {
	text, file, err := r.ReadFile(file)
	if err != nil {
		return nil, err
	}
	parsed, err := jobspec2.ParseWithConfig(&jobspec2.ParseConfig{Path: file, Body: text, AllowFS: true, Strict: true})
	var all hcl2.Diagnostics
	if errors.As(err, &all) {
		return nil, plain.Join(all.Errs()...) // else it names the first one alone
	}
	if err != nil {
		return nil, err
	}
	task, group, err := findTask(parsed, name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", plain.Name(file), err)
	}
	job := describe(task, group)
	if err := fill(job, settings, parsed, group, task, at); err != nil {
		return nil, fmt.Errorf("%s: task %q: %w", plain.Name(file), task.Name, err)
	}
	job.Expression = expressionIn(text, task.Name, job.Unknown)
	return job, nil
}

// fill fills in what variables can be in.
func fill(job *command.Job, settings *sandbox.Settings, parsed *api.Job, group *api.TaskGroup, task *api.Task, at *command.Place) error {
	known, err := knownValues(parsed, group, task, at)
	if err != nil {
		return err
	}
	job.Nomads = known.environment()
	known.addEnvironment(at.Env)
	i := &interpolation{values: known, unknown: map[string]bool{}}
	job.Env = map[string]string{}
	for name, value := range task.Env {
		if job.Env[name], err = i.text(value); err != nil {
			return fmt.Errorf("env: %s: %w", plain.Name(name), err)
		}
	}
	own := maps.Clone(job.Env)
	maps.Copy(own, at.Env)
	known.addEnvironment(own)
	if err := brought(job, i, task, at); err != nil {
		return err
	}
	config, err := i.block("config", task.Config)
	if err != nil {
		return err
	}
	job.Unknown = slices.Sorted(maps.Keys(i.unknown))
	driver.LeaveOutUnknown(config.(map[string]any))
	job.Request, err = driver.DecodeTask(settings, config.(map[string]any))
	return err
}

// brought are the files that the job brings, in its text or from elsewhere.
func brought(job *command.Job, i *interpolation, task *api.Task, at *command.Place) error {
	inTaskDir := func(what, path string) (string, error) {
		path, err := i.text(path)
		if err != nil {
			return "", fmt.Errorf("%s: destination: %w", what, err)
		}
		if rel, err := filepath.Rel(at.TaskDir, path); filepath.IsAbs(path) && err == nil {
			return rel, nil
		}
		return path, nil
	}
	for _, t := range task.Templates {
		path, err := inTaskDir("template", orZero(t.DestPath))
		if err != nil {
			return err
		}
		mode, err := strconv.ParseUint(cmp.Or(orZero(t.Perms), "644"), 8, 12)
		if err != nil {
			return fmt.Errorf("template: perms: %q is no mode of a file, expected one like \"755\"", orZero(t.Perms))
		}
		if t.SourcePath != nil && *t.SourcePath != "" {
			job.Artifacts = append(job.Artifacts, path)
			continue
		}
		job.Templates = append(job.Templates, command.Template{Path: path, Text: orZero(t.EmbeddedTmpl), Mode: os.FileMode(mode)})
	}
	for _, a := range task.Artifacts {
		path, err := inTaskDir("artifact", cmp.Or(orZero(a.RelativeDest), "local"))
		if err != nil {
			return err
		}
		job.Artifacts = append(job.Artifacts, path)
	}
	return nil
}

// findTask returns the job's task of that name, or its only one of the driver.
func findTask(job *api.Job, name string) (found *api.Task, in *api.TaskGroup, err error) {
	var names []string
	for _, group := range job.TaskGroups {
		for _, task := range group.Tasks {
			if task.Driver == driver.Name && (name == "" || name == task.Name) {
				found, in = task, group
				names = append(names, task.Name)
			}
		}
	}
	switch {
	case len(names) == 1:
		return found, in, nil
	case len(names) == 0 && name != "":
		return nil, nil, fmt.Errorf("no task %q with driver = %q", name, driver.Name)
	case len(names) == 0:
		return nil, nil, fmt.Errorf("no task with driver = %q", driver.Name)
	}
	return nil, nil, fmt.Errorf("several tasks have driver = %q: choose one by -task: %s", driver.Name, plain.Names(names))
}

// describe is what a job says of its task beside the config block.
func describe(task *api.Task, group *api.TaskGroup) *command.Job {
	job := &command.Job{User: task.User}
	r := task.Resources
	if r == nil {
		r = &api.Resources{}
	}
	r.Canonicalize() // what Nomad gives where the job does not say
	job.MemoryMB, job.MemoryMaxMB = int64(orZero(r.MemoryMB)), int64(orZero(r.MemoryMaxMB))
	job.CPU, job.Cores = orZero(r.CPU), orZero(r.Cores)
	if len(group.Networks) > 0 {
		job.Network, job.DNS = group.Networks[0].Mode, group.Networks[0].DNS != nil
	}
	for _, mount := range task.VolumeMounts {
		job.Mounts = append(job.Mounts, command.VolumeMount{
			Volume: orZero(mount.Volume), Destination: orZero(mount.Destination), ReadOnly: orZero(mount.ReadOnly), PropagationMode: orZero(mount.PropagationMode),
		})
	}
	return job
}

// orZero is what a pointer points to, the zero value for nil.
func orZero[T any](p *T) (value T) {
	if p != nil {
		value = *p
	}
	return value
}

// readAgent reads an agent's configuration. It is gone through by hand: into structs, the
// decoder refuses a list beside a block, as client { servers = [...] }.
func readAgent(file string) (map[string]any, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var agent map[string]any
	if err := hcl.Decode(&agent, string(data)); err != nil {
		return nil, fmt.Errorf("%s: %w", plain.Name(file), err)
	}
	return agent, nil
}

// blocks are those of a name: HCL has a list of them, JSON one or a list.
func blocks(value any) (all []map[string]any) {
	switch value := value.(type) {
	case map[string]any:
		return []map[string]any{value}
	case []map[string]any:
		return value
	case []any:
		for _, element := range value {
			all = append(all, blocks(element)...)
		}
	}
	return all
}

// Settings implements command.Reader.
func (reader) Settings(file string) (*sandbox.Settings, error) {
	agent, err := readAgent(file)
	if err != nil {
		return nil, err
	}
	for _, plugins := range blocks(agent["plugin"]) {
		found := blocks(plugins[command.Name])
		if len(found) == 0 {
			continue
		}
		merged := map[string]any{}
		for _, plugin := range found {
			for _, config := range blocks(plugin["config"]) {
				maps.Copy(merged, config)
			}
		}
		config, err := driver.DecodeConfig(merged)
		if err != nil {
			return nil, fmt.Errorf("%s: plugin %q: %w", plain.Name(file), command.Name, err)
		}
		return &config.Settings, nil
	}
	return nil, fmt.Errorf("%s: it has no block plugin %q", plain.Name(file), command.Name)
}

// Directories implements command.Reader: those that the file names, and its own path.
func (reader) Directories(file string) ([]sandbox.AgentPath, error) {
	agent, err := readAgent(file)
	if err != nil {
		return nil, err
	}
	var named []sandbox.AgentPath
	add := func(option string, value any) {
		if path, _ := value.(string); filepath.IsAbs(path) && filepath.Clean(path) != "/" {
			named = append(named, sandbox.ConfiguredPath(option, filepath.Clean(path)))
		}
	}
	add("data_dir", agent["data_dir"])
	add("plugin_dir", agent["plugin_dir"])
	for _, client := range blocks(agent["client"]) {
		for _, option := range []string{"state_dir", "alloc_dir", "alloc_mounts_dir"} {
			add(option, client[option])
		}
	}
	if path, err := filepath.Abs(file); err == nil {
		add("", path)
	}
	return named, nil
}
