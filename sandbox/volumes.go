// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package sandbox

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/burin-labs/nomad-driver-harn/executor"
	"github.com/burin-labs/nomad-driver-harn/landlock"
	"github.com/burin-labs/nomad-driver-harn/policy"
)

// volume is a directory or file of the host, or of a storage plugin, that
// Nomad gives to a task: volume_mount blocks, and what device plugins mount.
type volume struct {
	host, task string
	readOnly   bool
	propagate  bool
	links      []policy.Link // on the way to task, as the job names it
}

// follow makes the destination a real path: nothing can be mounted through a
// symbolic link, as /lib and /var/run are.
func (v *volume) follow() {
	dir, links := follow(filepath.Dir(v.task))
	v.task, v.links = filepath.Join(dir, filepath.Base(v.task)), links
}

// Nomad's propagation modes of volume_mount.
const (
	propagatePrivate     = "private"
	propagateHostToTask  = "host-to-task"
	propagateBothWays    = "bidirectional"
	propagateUnspecified = ""
)

// Mount is a directory or file of the host that a task is given.
type Mount struct {
	HostPath, TaskPath string
	ReadOnly           bool
	// PropagationMode is Nomad's, "" for private.
	PropagationMode string
}

// findVolumes checks a task's mounts and looks their sources up.
func findVolumes(mounts []Mount, dirs *Dirs, system []string, places []place) ([]volume, error) {
	volumes, err := findDestinations(mounts, dirs, system, places)
	if err != nil {
		return nil, err
	}
	for i, m := range mounts {
		v := &volumes[i]
		if v.host, err = realPath(m.HostPath); err != nil {
			return nil, fmt.Errorf("volume_mount: destination %q: the volume's source: %w", m.TaskPath, err)
		}
		if err := checkPath(places, m.HostPath, v.host, !v.readOnly); err != nil {
			return nil, fmt.Errorf("volume_mount: destination %q: the volume's source %w", m.TaskPath, err)
		}
	}
	return volumes, nil
}

// findDestinations checks where a task's mounts are to be, whatever their sources are.
func findDestinations(mounts []Mount, dirs *Dirs, system []string, places []place) ([]volume, error) {
	if len(mounts) == 0 {
		return nil, nil
	}
	var volumes []volume
	needed := slices.Concat(system, realPaths(system), []string{dirs.Task, dirs.Clients})
	for _, m := range mounts {
		v := volume{task: filepath.Clean(m.TaskPath), readOnly: m.ReadOnly}
		if !filepath.IsAbs(v.task) {
			v.task = filepath.Join(dirs.Task, v.task)
		}
		if slices.ContainsFunc(volumes, func(other volume) bool { return other.task == v.task }) {
			return nil, fmt.Errorf("volume_mount: destination %q: two volumes have it", m.TaskPath)
		}
		if err := checkDestination(v.task, dirs, needed); err != nil {
			return nil, fmt.Errorf("volume_mount: destination %q: %w", m.TaskPath, err)
		}
		if link := linkOn(dirs.Task, v.task); link != "" {
			return nil, fmt.Errorf("volume_mount: destination %q: %q is a symbolic link, which the task can have made: remove it, or choose another destination", m.TaskPath, link)
		}
		v.follow()
		if err := checkDestination(v.task, dirs, needed); err != nil {
			return nil, fmt.Errorf("volume_mount: destination %q is %q: %w", m.TaskPath, v.task, err)
		}
		if err := checkPath(places, m.TaskPath, v.task, true); err != nil {
			return nil, fmt.Errorf("volume_mount: destination %w", err)
		}
		switch m.PropagationMode {
		case propagateUnspecified, propagatePrivate:
		case propagateHostToTask:
			v.propagate = true
		case propagateBothWays:
			return nil, fmt.Errorf("volume_mount: destination %q: propagation_mode %q would let a task mount on the host, which no task of this driver may: expected %q or %q",
				m.TaskPath, m.PropagationMode, propagatePrivate, propagateHostToTask)
		default:
			return nil, fmt.Errorf("volume_mount: destination %q: unknown propagation_mode %q, expected %q or %q",
				m.TaskPath, m.PropagationMode, propagatePrivate, propagateHostToTask)
		}
		volumes = append(volumes, v)
	}
	return volumes, nil
}

// writableSources are the real paths of what a task is given to write.
func writableSources(mounts []Mount) []string {
	var sources []string
	for _, m := range mounts {
		if at, err := realPath(m.HostPath); err == nil && !m.ReadOnly { // findVolumes says else
			sources = append(sources, at)
		}
	}
	return sources
}

// checkVolumes keeps volumes within the operator's ceiling, as roots are. The
// operator names what is mounted, but it is the job that asks for it.
func checkVolumes(ceiling *policy.Policy, volumes []volume, dirs *Dirs) error {
	for _, v := range volumes {
		if err := policy.CheckVolume(ceiling, v.host, v.readOnly, dirs.own()); err != nil {
			return fmt.Errorf("volume_mount, or mount of a device plugin: destination %q: %w", v.task, err)
		}
	}
	return nil
}

// linkOn returns the first symbolic link on the way from a directory to a path in
// it, "" if there is none.
func linkOn(dir, path string) string {
	rel, err := filepath.Rel(dir, path)
	if err != nil || !filepath.IsLocal(rel) {
		return ""
	}
	at := dir
	for name := range strings.SplitSeq(rel, "/") {
		at = filepath.Join(at, name)
		if info, err := os.Lstat(at); err == nil && info.Mode().Type() == fs.ModeSymlink {
			return at
		}
	}
	return ""
}

// checkDestination refuses destinations that would hide what every task needs.
func checkDestination(path string, dirs *Dirs, needed []string) error {
	if strings.ContainsRune(path, 0) {
		return fmt.Errorf("it holds a NUL byte")
	}
	if path == "/" {
		return fmt.Errorf("it would hide the whole file system: name a directory in it")
	}
	for _, special := range []string{"/proc", "/sys", "/dev"} {
		if landlock.Beneath(special, path) {
			return fmt.Errorf("%s is the task's own version of the kernel's: choose another place", special)
		}
	}
	if path == filepath.Join(dirs.Task, "alloc") {
		return fmt.Errorf("it would hide %s, with the task's logs in it: choose another place, as alloc/data", path)
	}
	for _, place := range needed {
		if landlock.Beneath(path, place) {
			return fmt.Errorf("it would hide %s, which every task needs: choose another place", place)
		}
	}
	return nil
}

// volumeMounts show the volumes.
func (w *layout) volumeMounts() []placed {
	var mounts []placed
	for _, v := range w.volumes {
		mounts = append(mounts, placed{volume: true, Mount: executor.Mount{
			Type: executor.Bind, Source: v.host, Target: v.task, ReadOnly: v.readOnly, Propagate: v.propagate,
		}})
		for _, link := range v.links {
			mounts = append(mounts, symlink(link.Path, link.Target))
		}
	}
	return mounts
}

// policyVolumes are the volumes as the policy knows them.
func policyVolumes(volumes []volume) []policy.Volume {
	var out []policy.Volume
	for _, v := range volumes {
		out = append(out, policy.Volume{Path: v.task, ReadOnly: v.readOnly})
	}
	return out
}
