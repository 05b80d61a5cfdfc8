// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package sandbox

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/executor"
	"github.com/burin-labs/nomad-driver-harn/internal/plain"
	"github.com/burin-labs/nomad-driver-harn/landlock"
	"github.com/burin-labs/nomad-driver-harn/policy"
)

// Placement is what Nomad would say of a task that has not been placed, and
// what it would be placed on.
type Placement struct {
	// Settings are the operator's, valid ones; nil for the defaults.
	Settings *Settings
	Node     policy.Node
	// TaskDir is a directory that stands for the one that Nomad would make: a real
	// path. The directory that it is in stands for that of all allocations.
	TaskDir string
	// Cgroup stands for the cgroups that Nomad would make; "" for none.
	Cgroup string
	User   string // of the job; "" if it names none
	// MemoryMB and MemoryMaxMB are of the job's resources, in MiB; 0 if unknown.
	MemoryMB, MemoryMaxMB int64
	// Agent are the agent's own files and directories.
	Agent []AgentPath
	// OwnNetwork: the group's network is a namespace of its allocation. DNS: it names
	// name servers.
	OwnNetwork, DNS bool
	// Local is what the job says of NOMAD_TASK_DIR; "" if it leaves that to Nomad.
	Local string
	// Volumes are mounted: their sources are not known.
	Volumes []Mount
	// Path is the PATH of the job; "" for the default.
	Path string
	// Unseen are directories and files of which nobody knows what they will be: what
	// Nomad fetches, and volumes.
	Unseen []string
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
	// Marked are places that the policy closes or keeps where Files show them, whether there is
	// something or not.
	Marked []Marked
	// Program is what is executed, "" if that is not asked for; Unchecked: what it is
	// is known on a node only. WorkDir is where it starts.
	Program   string
	Unchecked bool
	WorkDir   string
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

// Marked is a place that a policy closes, or keeps as it is.
type Marked struct {
	Path     string
	Why      string
	Readable bool // it is kept: it can be read, as far as the policy goes
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
func Explain(request *Request, f *Placement) (*Explanation, error) {
	settings, err := f.Settings.orDefault()
	if err != nil {
		return nil, err
	}
	allocations := filepath.Dir(f.TaskDir)
	task := &Task{
		Dirs:      Dirs{Task: f.TaskDir, Clients: allocations, Mounts: allocations},
		Resources: Resources{MemoryMB: f.MemoryMB, MemoryMaxMB: f.MemoryMaxMB},
	}
	if f.Cgroup != "" {
		task.Cgroups = []string{f.Cgroup}
	}
	if f.OwnNetwork {
		task.NetworkNamespace = "(the allocation's)"
	}
	if f.DNS {
		task.DNS = &DNS{}
	}
	task.Destinations = f.Volumes
	if f.Local != "" {
		task, _, err := FollowTaskDir(f.Local)
		if err != nil {
			return nil, err
		}
		if err := SameDir(task, f.TaskDir); err != nil {
			return nil, NotTheTaskDir(f.Local, err)
		}
	}
	var missing []string
	lookUp := func(p *policy.Policy, taskDir string, own []string) (policy.Roots, error) {
		there := p.Clone()
		there.Each(func(f *policy.Field) {
			switch f.Role {
			case policy.WorkspaceRole, policy.ReadRole, policy.SocketRole:
				roots := f.Value(there).(*[]string)
				*roots = existing(*roots, taskDir, &missing)
			}
		})
		roots, err := policy.Resolve(there, taskDir, own)
		if len(there.WorkspaceRoots) < len(p.WorkspaceRoots) && len(there.WorkspaceRoots) == 0 {
			roots.Workspace = nil // not the default in the place of what is missing
		}
		return roots, err
	}
	who := &account{anyone: true}
	if f.User != "" {
		if user, err := lookupUser(f.User, task.Dirs.Task, settings); err != nil {
			missing = append(missing, err.Error())
		} else {
			who = &account{identity: user}
		}
	}
	s, err := decide(settings, &Host{Node: f.Node, Cores: 1, Agent: f.Agent}, task, request, who, lookUp)
	if err != nil {
		return nil, err
	}
	e := s.Explain()
	e.Missing, e.User = missing, f.User
	e.start(s, f)
	return e, nil
}

// start says what is executed and where, or what is in the way.
func (e *Explanation) start(s *Sandbox, f *Placement) {
	unseen := func(paths ...string) bool {
		return slices.ContainsFunc(paths, func(path string) bool {
			if !filepath.IsAbs(path) {
				path = filepath.Join(f.TaskDir, path)
			}
			return strings.Contains(path, "${") || isBeneathAny(f.Unseen, path)
		})
	}
	var err error
	if e.WorkDir, err = s.view.findWorkDir(s.request.WorkDir, f.TaskDir); err != nil {
		e.WorkDir = s.request.WorkDir
		if !unseen(s.request.WorkDir) {
			e.Missing = append(e.Missing, err.Error())
		}
	}
	command := s.request.Command
	if command == "" {
		return
	}
	finder := &finder{view: s.view, taskDir: f.TaskDir, path: cmp.Or(f.Path, defaultPath), readOnly: s.effective.ReadOnlyRoots, own: f.TaskDir}
	if e.Program, err = finder.find(command); err == nil {
		return
	}
	e.Program = command
	// What is there, and cannot be executed, is that on each node.
	e.Unchecked = errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) && unseen(command, filepath.Join("local", command))
	if !e.Unchecked {
		e.Missing = append(e.Missing, err.Error())
	}
}

// Explain says what the task may do.
func (s *Sandbox) Explain() *Explanation {
	e := &Explanation{
		Plan: s.Policy, AllFiles: !s.view.private, HostPID: s.modes.hostPID, HostIPC: s.modes.hostIPC,
		Level: s.effective.SideEffectLevel, Workspace: s.effective.WorkspaceAccess(), User: s.UserName,
		VolumesIn: policy.VolumeLimit(s.settings.Ceiling, false), ReadOnlyVolumesIn: policy.VolumeLimit(s.settings.Ceiling, true),
	}
	e.files(s)
	e.Marked = s.view.marked
	for _, n := range s.capabilities {
		e.Capabilities = append(e.Capabilities, capabilityNames[n])
	}
	e.limits(s)
	return e
}

// files lists what the task sees.
func (e *Explanation) files(s *Sandbox) {
	if e.AllFiles {
		return
	}
	why := map[string][]string{}
	for _, reason := range s.Policy.Reasons() {
		if !slices.Contains(why[reason.Path], reason.Why) {
			why[reason.Path] = append(why[reason.Path], reason.Why)
		}
	}
	for _, path := range slices.Sorted(maps.Keys(why)) {
		access := s.view.access(path)
		if info, err := os.Stat(path); err == nil && !info.IsDir() {
			access &= landlock.FileRights
		}
		if above := e.nearest(path); above == nil || above.Access != access || !slices.Equal(above.Why, why[path]) { // else it says nothing new
			e.Files = append(e.Files, FileAccess{path, access, why[path]})
		}
		e.split(s.view, path, why[path])
	}
	for i := range s.view.mounts {
		m := &s.view.mounts[i]
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

func (e *Explanation) limits(s *Sandbox) {
	add := func(format string, args ...any) { e.Limits = append(e.Limits, fmt.Sprintf(format, args...)) }
	r, request := s.Cgroup, s.request
	if r.Memory > 0 {
		add("memory: %d MiB, of which %d MiB are reserved", r.Memory>>20, r.MemoryReservation>>20)
	}
	if request.CPUHardLimit {
		add("CPU: never more than the job's cpu, as cpu_hard_limit is set")
	} else {
		add("CPU: the job's cpu is a share; idle CPU can be used beyond it")
	}
	if r.Pids != 0 {
		add("processes and threads: %d", r.Pids)
	} else {
		add("processes and threads: no limit")
	}
	if !e.AllFiles {
		add("terminals: %d", executor.MaxTerminals)
		add("/tmp: on the disk, in the task's directory, without a limit of the driver's")
		if !e.HostIPC {
			add("/dev/shm: in memory, a part of the task's")
		}
	}
	names := map[int]string{}
	for name, number := range resourceLimits {
		names[number] = name
	}
	for _, l := range s.limits {
		if l.Resource == unix.RLIMIT_CORE && l.Hard == noCore {
			add("ulimit core: no core dumps")
			continue
		}
		add("ulimit %s: %s, raisable to %s", names[l.Resource], limitText(l.Soft), limitText(l.Hard))
	}
	if request.Nice != 0 {
		add("nice: %d", request.Nice)
	}
	if request.OOMScoreAdj != 0 {
		add("oom_score_adj: %d", request.OOMScoreAdj)
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
		hint := policy.Hint(root)
		if hint != "" {
			hint = ": " + hint
		}
		if !filepath.IsAbs(root) {
			if hint != "" {
				*missing = append(*missing, plain.Name(root)+hint)
				continue
			}
			_ = os.MkdirAll(filepath.Join(taskDir, root), 0o755) // Resolve says if it is not there
		} else if _, err := os.Stat(root); err != nil {
			*missing = append(*missing, fmt.Sprintf("%s: %v%s", plain.Name(root), err, hint))
			continue
		}
		there = append(there, root)
	}
	return there
}
