// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/nomad/helper/pluginutils/hclspecutils"
	"github.com/hashicorp/nomad/helper/pluginutils/hclutils"
	"github.com/hashicorp/nomad/nomad/structs"
	"github.com/hashicorp/nomad/plugins/drivers"
	"github.com/hashicorp/nomad/plugins/shared/hclspec"
	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/executor"
	"github.com/burin-labs/nomad-driver-harn/internal/plain"
	"github.com/burin-labs/nomad-driver-harn/landlock"
	"github.com/burin-labs/nomad-driver-harn/policy"
)

// DecodeTask decodes the config block of a job's task, as Nomad has parsed it,
// the way that it reaches the driver: by the schema and over the wire.
// operator is the plugin's configuration, nil for the default one.
func DecodeTask(operator *Config, block map[string]any) (*TaskConfig, error) {
	cfg, err := encode(taskConfigSpec, block)
	if err != nil {
		return nil, err
	}
	if operator == nil {
		operator = &Config{}
	}
	return decodeTask(operator, cfg)
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

// orDefault is the plugin's configuration, for nil the one of an operator who
// sets nothing.
func (c *Config) orDefault() (*Config, error) {
	if c != nil {
		return c, nil
	}
	return DecodeConfig(map[string]any{})
}

// encode puts a block into the form in which Nomad sends it.
func encode(spec *hclspec.Spec, block map[string]any) (*drivers.TaskConfig, error) {
	schema, diagnostics := hclspecutils.Convert(spec)
	if diagnostics.HasErrors() {
		return nil, diagnostics
	}
	value, _, errs := hclutils.ParseHclInterface(block, schema, nil)
	if err := plain.Join(errs...); err != nil {
		return nil, err
	}
	var cfg drivers.TaskConfig
	return &cfg, cfg.EncodeDriverConfig(value)
}

// Forecast is what Nomad would say of a task that has not been placed, and
// what it would be placed on.
type Forecast struct {
	// Operator is the plugin's configuration, as [DecodeConfig] returns it; nil for
	// the default one.
	Operator *Config
	Node     policy.Node
	// TaskDir is a directory that stands for the one that Nomad would make: a real
	// path. The directory that it is in stands for that of all allocations.
	TaskDir string
	// Cgroup stands for the cgroups that Nomad would make; "" for none.
	Cgroup string
	User   string // of the job; "" if it names none
	// MemoryMB and MemoryMaxMB are of the job's resources, in MiB; 0 if unknown.
	MemoryMB, MemoryMaxMB int64
}

// Explanation is what a task may do.
type Explanation struct {
	Plan *policy.Plan
	// Level is the side-effect level, what the ceiling leaves of the request; "" if
	// there is none.
	Level string
	// AllFiles: the task sees the host's file system.
	AllFiles bool
	// Files are what it sees else, in the order of paths. Of what a path is in, the
	// longest decides.
	Files []FileAccess
	// Masked are covered where Files show them.
	Masked []string
	// Missing are what is named but not on this host: a task with it would be
	// refused.
	Missing []string
	// Workspace is the access to workspace roots, and to volumes that are not
	// read-only.
	Workspace landlock.AccessFS
	// VolumesIn and ReadOnlyVolumesIn say where the ceiling lets the sources of
	// volumes lie; "" is anywhere.
	VolumesIn, ReadOnlyVolumesIn string

	User    string
	HostPID bool
	HostIPC bool
	// Capabilities are names of capabilities(7).
	Capabilities []string
	// Limits are of cgroups and of setrlimit(2), a line each.
	Limits []string
}

// FileAccess is what a task can do with a directory and what is in it, or with
// a file. A path that ends with "/*" is what is in a directory when the task
// starts.
type FileAccess struct {
	Path   string
	Access landlock.AccessFS
	Why    []string
}

// Explain says what a task may do that has not been placed. It decides by the
// functions that start a task.
func Explain(task *TaskConfig, f *Forecast) (*Explanation, error) {
	config, err := f.Operator.orDefault()
	if err != nil {
		return nil, err
	}
	node := f.Node
	node.Fallback = config.fallback
	dirs := &taskDirs{Task: f.TaskDir, Clients: filepath.Dir(f.TaskDir), Mounts: filepath.Dir(f.TaskDir)}
	e := &Explanation{}
	lookUp := func(p *policy.Policy, taskDir string, own []string) (policy.Roots, error) {
		there := p.Clone()
		for _, roots := range []*[]string{&there.WorkspaceRoots, &there.ReadOnlyRoots, &there.UnixSocketRoots} {
			*roots = existing(*roots, taskDir, &e.Missing)
		}
		roots, err := policy.Resolve(there, taskDir, own)
		if len(there.WorkspaceRoots) < len(p.WorkspaceRoots) && len(there.WorkspaceRoots) == 0 {
			roots.Workspace = nil // not the default in the place of what is missing
		}
		return roots, err
	}
	group := &cgroup{Paths: map[string]string{}}
	if f.Cgroup != "" {
		group.Paths[""] = f.Cgroup
	}
	cfg := &drivers.TaskConfig{Resources: &drivers.Resources{NomadResources: &structs.AllocatedTaskResources{
		Memory: structs.AllocatedMemoryResources{MemoryMB: f.MemoryMB, MemoryMaxMB: f.MemoryMaxMB},
	}}}
	who := &account{anyone: true}
	if f.User != "" {
		if user, err := lookupUser(f.User, dirs.Task, config); err != nil {
			e.Missing = append(e.Missing, err.Error())
		} else {
			who = &account{identity: user}
		}
	}
	o, err := foresee(config, node, 1, cfg, task, dirs, who, group, lookUp)
	if err != nil {
		return nil, err
	}
	e.Plan, e.AllFiles, e.HostPID, e.HostIPC = o.enforced, !o.view.private, o.modes.hostPID, o.modes.hostIPC
	e.Level = o.effective.SideEffectLevel
	e.Workspace = o.effective.WorkspaceAccess()
	e.VolumesIn, e.ReadOnlyVolumesIn = policy.VolumeLimit(config.Ceiling, false), policy.VolumeLimit(config.Ceiling, true)
	e.files(o)
	e.User = f.User
	for _, n := range o.capabilities {
		e.Capabilities = append(e.Capabilities, capabilityNames[n])
	}
	e.limits(o, task)
	return e, nil
}

// files lists what the task sees.
func (e *Explanation) files(o *outlook) {
	if e.AllFiles {
		return
	}
	why := map[string][]string{}
	for _, reason := range o.enforced.Reasons() {
		if !slices.Contains(why[reason.Path], reason.Why) {
			why[reason.Path] = append(why[reason.Path], reason.Why)
		}
	}
	for _, path := range slices.Sorted(maps.Keys(why)) {
		access := o.view.access(path)
		if info, err := os.Stat(path); err == nil && !info.IsDir() {
			access &= landlock.FileRights
		}
		if above := e.nearest(path); above == nil || above.Access != access || !slices.Equal(above.Why, why[path]) { // else it says nothing new
			e.Files = append(e.Files, FileAccess{path, access, why[path]})
		}
		e.split(o.view, path, why[path])
	}
	for i := range o.view.mounts {
		m := &o.view.mounts[i]
		if m.covers() {
			e.Masked = append(e.Masked, m.Target)
		}
		for _, l := range m.Layers {
			if l.Kind == executor.LayerHide && exists(filepath.Join(m.Source, l.Path)) {
				e.Masked = append(e.Masked, filepath.Join(m.Target, l.Path))
			}
		}
	}
}

// split lists the directories at a path and in it that protected places lie in.
func (e *Explanation) split(v *view, path string, why []string) {
	for _, s := range v.splits {
		if !landlock.Beneath(path, s.Dir) || slices.ContainsFunc(e.Files, func(f FileAccess) bool { return f.Path == s.Dir+"/*" }) {
			continue
		}
		if s.Dir != path {
			e.Files = append(e.Files, FileAccess{s.Dir, v.access(s.Dir), why})
		}
		e.Files = append(e.Files, FileAccess{s.Dir + "/*", s.Access, []string{"what is in it now: new files there are not granted, since something in it is protected"}})
	}
	slices.SortStableFunc(e.Files, func(a, b FileAccess) int { return strings.Compare(a.Path, b.Path) })
}

// nearest is what is listed of a path: the longest that it is in, nil if none.
func (e *Explanation) nearest(path string) *FileAccess {
	for i := range slices.Backward(e.Files) { // in the order of paths
		if landlock.Beneath(e.Files[i].Path, path) {
			return &e.Files[i]
		}
	}
	return nil
}

func (e *Explanation) limits(o *outlook, task *TaskConfig) {
	add := func(format string, args ...any) { e.Limits = append(e.Limits, fmt.Sprintf(format, args...)) }
	r := o.resources
	if r.Memory > 0 {
		add("memory: %d MiB, of which %d MiB are reserved", r.Memory>>20, r.MemoryReservation>>20)
	}
	if task.CPUHardLimit {
		add("CPU: never more than the job's cpu, as cpu_hard_limit is set")
	} else {
		add("CPU: the job's cpu is a share; idle CPU can be used beyond it")
	}
	if r.PidsLimit != nil {
		add("processes and threads: %d", *r.PidsLimit)
	} else {
		add("processes and threads: no limit")
	}
	names := map[int]string{}
	for name, number := range resourceLimits {
		names[number] = name
	}
	for _, l := range o.limits {
		if l.Resource == unix.RLIMIT_CORE && l.Hard == noCore {
			add("ulimit core: no core dumps")
			continue
		}
		add("ulimit %s: %s, raisable to %s", names[l.Resource], limitText(l.Soft), limitText(l.Hard))
	}
	if task.Nice != 0 {
		add("nice: %d", task.Nice)
	}
	if task.OOMScoreAdj != 0 {
		add("oom_score_adj: %d", task.OOMScoreAdj)
	}
}

func limitText(n uint64) string {
	if n == unix.RLIM_INFINITY {
		return "unlimited"
	}
	return strconv.FormatUint(n, 10)
}

// existing makes relative roots, which a task finds or makes, and leaves out
// absolute ones that are not there.
func existing(roots []string, taskDir string, missing *[]string) []string {
	var there []string
	for _, root := range roots {
		if !filepath.IsAbs(root) {
			_ = os.MkdirAll(filepath.Join(taskDir, root), 0o755) // Resolve says if it is not there
		} else if _, err := os.Stat(root); err != nil {
			*missing = append(*missing, fmt.Sprintf("%s: %v", plain.Name(root), err))
			continue
		}
		there = append(there, root)
	}
	return there
}
