// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package sandbox

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/burin-labs/nomad-driver-harn/internal/plain"
	"github.com/burin-labs/nomad-driver-harn/landlock"
	"github.com/burin-labs/nomad-driver-harn/policy"
)

// Preset is a set of roots that an operator has given a name, as for a toolchain.
type Preset struct {
	// ReadOnlyRoots and WorkspaceRoots are absolute paths, as the fields of a policy. Naming
	// the preset grants them: no ceiling of roots limits them.
	ReadOnlyRoots  []string `codec:"read_only_roots"`
	WorkspaceRoots []string `codec:"workspace_roots"`
	// Env are variables of the task, unless the job sets them. Directories in PATH come before
	// those of the task's own.
	Env map[string]string `codec:"env"`
}

func (p *Preset) roots() []string { return slices.Concat(p.ReadOnlyRoots, p.WorkspaceRoots) }

// wrongPresets names what is wrong in the operator's presets.
func (s *Settings) wrongPresets() (problems []string) {
	for _, name := range slices.Sorted(maps.Keys(s.Presets)) {
		preset := s.Presets[name]
		field := fmt.Sprintf("preset %q", name)
		if err := policy.CheckPresetName(name); err != nil {
			problems = append(problems, "preset: "+err.Error())
		}
		problems = append(problems, wrongPaths(field+": read_only_roots", preset.ReadOnlyRoots)...)
		problems = append(problems, wrongPaths(field+": workspace_roots", preset.WorkspaceRoots)...)
		for variable, value := range preset.Env {
			if variable == "" || strings.ContainsAny(variable, "=\x00") || strings.HasPrefix(variable, "NOMAD_") || strings.ContainsRune(value, 0) {
				problems = append(problems, fmt.Sprintf("%s: env: %q is no variable that a preset can set", field, variable))
			}
		}
	}
	admitted := s.Ceiling.Presets()
	for i, name := range s.DefaultPresets {
		switch _, known := s.Presets[name]; {
		case !known && !slices.Contains(policy.HarnPresets, name):
			problems = append(problems, fmt.Sprintf("default_presets[%d]: %v", i, s.noPreset(name)))
		case admitted != nil && !slices.Contains(admitted, name):
			problems = append(problems, fmt.Sprintf("default_presets[%d]: %q exceeds the ceiling's process_sandbox.presets", i, name))
		}
	}
	return problems
}

func (s *Settings) noPreset(name string) error {
	known := slices.Sorted(maps.Keys(s.Presets))
	if len(known) == 0 {
		return fmt.Errorf("the operator has no preset %q, and no other: name the roots themselves", name)
	}
	return fmt.Errorf("the operator has no preset %q, expected one of %s: constrain the job to nodes with ${attr.driver.harn.preset.%s}", name, plain.Names(known), name)
}

// PresetsHere says of each of the operator's presets whether all that it names is on this
// host.
func (s *Settings) PresetsHere() map[string]bool {
	here := map[string]bool{}
	for name, preset := range s.Presets {
		here[name] = !slices.ContainsFunc(preset.roots(), func(root string) bool {
			_, err := realPath(root)
			return err != nil
		})
	}
	return here
}

// addPresets adds the roots of the presets that a policy asks for, or of the operator's
// default, and returns what they set in the environment. home is the HOME that the job sets,
// "" if it is in the task's own directories.
func (s *Settings) addPresets(effective *policy.Policy, roots *policy.Roots, home string) (env map[string]string, notes []string, err error) {
	names, field := effective.Presets(), "process_sandbox.presets"
	if names == nil {
		names, field = s.DefaultPresets, "plugin option default_presets"
	}
	env = map[string]string{}
	for _, name := range names {
		preset, ok := s.Presets[name]
		switch {
		case !ok && slices.Contains(policy.HarnPresets, name):
			notes = append(notes, s.addHomePreset(name, effective, roots, home)...)
			continue
		case !ok:
			return nil, nil, fmt.Errorf("%s: %w", field, s.noPreset(name))
		}
		for _, list := range []struct {
			role  policy.Role
			roots []string
		}{{policy.WorkspaceRole, preset.WorkspaceRoots}, {policy.ReadRole, preset.ReadOnlyRoots}} {
			var found []string
			for _, root := range list.roots {
				at, links, err := followPath(root)
				if err != nil {
					return nil, nil, fmt.Errorf("%s: %q, a preset of the operator's, needs %q: %w: constrain the job to nodes with ${attr.driver.harn.preset.%s}", field, name, root, err, name)
				}
				found = append(found, at)
				roots.Links = append(roots.Links, links...)
			}
			roots.AddPreset(name, list.role, found)
		}
		for variable, value := range preset.Env {
			if known, set := env[variable]; set && variable == "PATH" {
				value = known + ":" + value
			} else if set && known != value {
				return nil, nil, fmt.Errorf("%s: two of the operator's presets set %s, to %q and %q: leave one of them out", field, variable, known, value)
			}
			env[variable] = value
		}
	}
	return env, notes, nil
}

// addHomePreset adds what there is of a preset of Harn's below a home, as far as the ceiling
// admits it. What lies in the task's own directories needs no preset.
func (s *Settings) addHomePreset(name string, effective *policy.Policy, roots *policy.Roots, home string) (notes []string) {
	if home == "" {
		return nil
	}
	preset := policy.HomePresets[name]
	write := policy.ReadRole
	if effective.MayWrite() {
		write = policy.WorkspaceRole
	}
	for _, list := range []struct {
		role  policy.Role
		paths []string
	}{{write, preset.Write}, {policy.ReadRole, preset.Read}} {
		for _, path := range list.paths {
			at, err := realPath(filepath.Join(home, path))
			if errors.Is(err, errSilent) {
				return append(notes, fmt.Sprintf("preset %s: left out, as of HOME %s: %v", name, plain.Quote(filepath.Join(home, path)), err))
			}
			if err != nil {
				continue
			}
			if err := policy.CheckVolume(s.Ceiling, at, list.role == policy.ReadRole, nil); err != nil {
				notes = append(notes, fmt.Sprintf("preset %s: left out, as the operator's ceiling does not admit it: %s", name, plain.Quote(at)))
				continue
			}
			roots.AddPreset(name, list.role, []string{at})
		}
	}
	return notes
}

// addPresetEnvironment puts the variables of presets into an environment in which those of the
// job and the agent are: nomad. The job's stay, but for PATH, which gets more directories.
func addPresetEnvironment(env, nomad, presets map[string]string) {
	if len(presets) == 0 {
		return
	}
	agents := theAgent.has()
	for name, value := range presets {
		switch own, set := nomad[name]; {
		case name == "PATH":
			env[name] = value + ":" + env[name]
		case !set || agents(name, own):
			env[name] = value
		}
	}
}

// meets reports whether one of two paths is the other, or in it.
func meets(a, b string) bool { return landlock.Beneath(a, b) || landlock.Beneath(b, a) }
