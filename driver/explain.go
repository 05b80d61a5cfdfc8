// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/hashicorp/nomad/helper/pluginutils/hclspecutils"
	"github.com/hashicorp/nomad/helper/pluginutils/hclutils"
	"github.com/hashicorp/nomad/plugins/drivers"
	"github.com/hashicorp/nomad/plugins/shared/hclspec"

	"github.com/burin-labs/nomad-driver-harn/policy"
)

// DecodeTask decodes the config block of a job's task, as Nomad has parsed it,
// the way that it reaches the driver: by the schema and over the wire.
func DecodeTask(block map[string]any) (*TaskConfig, error) {
	cfg, err := encode(taskConfigSpec, block)
	if err != nil {
		return nil, err
	}
	return decodeTask(&Config{}, cfg)
}

// DecodeConfig decodes the config block of the plugin, as an agent does.
func DecodeConfig(block map[string]any) (*Config, error) {
	cfg, err := encode(configSpec, block)
	if err != nil {
		return nil, err
	}
	var config Config
	if err := cfg.DecodeDriverConfig(&config); err != nil {
		return nil, err
	}
	return &config, config.validate()
}

// defaultConfig is the plugin's configuration where the operator sets nothing.
func defaultConfig() (*Config, error) {
	config := &Config{StateDir: defaultStateDir}
	return config, config.validate()
}

// encode puts a block into the form in which Nomad sends it.
func encode(spec *hclspec.Spec, block map[string]any) (*drivers.TaskConfig, error) {
	schema, diagnostics := hclspecutils.Convert(spec)
	if diagnostics.HasErrors() {
		return nil, diagnostics
	}
	value, _, errs := hclutils.ParseHclInterface(block, schema, nil)
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	var cfg drivers.TaskConfig
	return &cfg, cfg.EncodeDriverConfig(value)
}

// Explain plans a task that has not been placed, on this host, with the
// driver's default configuration: taskDir stands for the directory that Nomad
// would make for it. It decides by the functions that start a task. missing
// are the roots that are not there: a task with them would be refused.
func Explain(task *TaskConfig, node policy.Node, taskDir string) (plan *policy.Plan, missing []string, err error) {
	config, err := defaultConfig()
	if err != nil {
		return nil, nil, err
	}
	node.Fallback = config.fallback
	dirs := &taskDirs{Task: taskDir, Clients: filepath.Dir(taskDir)}
	lookUp := func(p *policy.Policy, taskDir string, own []string) (policy.Roots, error) {
		there := p.Clone()
		for _, roots := range []*[]string{&there.WorkspaceRoots, &there.ReadOnlyRoots, &there.UnixSocketRoots} {
			*roots = existing(*roots, taskDir, &missing)
		}
		return policy.Resolve(there, taskDir, own)
	}
	o, err := foresee(config, node, 1, &drivers.TaskConfig{}, task, dirs, &cgroup{}, lookUp)
	if err != nil {
		return nil, nil, err
	}
	return o.enforced, missing, nil
}

// existing makes relative roots, which a task finds or makes, and leaves out
// absolute ones that are not there.
func existing(roots []string, taskDir string, missing *[]string) []string {
	var there []string
	for _, root := range roots {
		if !filepath.IsAbs(root) {
			_ = os.MkdirAll(filepath.Join(taskDir, root), 0o755) // Resolve says if it is not there
		} else if _, err := os.Stat(root); err != nil {
			*missing = append(*missing, fmt.Sprintf("%s: %v", root, err))
			continue
		}
		there = append(there, root)
	}
	return there
}
