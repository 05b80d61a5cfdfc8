// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package sandbox

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/burin-labs/nomad-driver-harn/executor"
	"github.com/burin-labs/nomad-driver-harn/landlock"
	"github.com/burin-labs/nomad-driver-harn/policy"
)

// Places that programs expect beside /tmp: /var/tmp is the same directory, /run
// is in memory, which counts as the task's.
const (
	privateVarTmp = "/var/tmp"
	privateRun    = "/run"
	varRun        = "/var/run"
)

// execDirs are the task's directories as the drivers exec and docker name them.
var execDirs = []string{"local", "alloc", "secrets"}

// tmpPlace is where the task's /tmp is: where a symbolic link of the host's leads,
// which the task has, too.
func tmpPlace() string { return placeOf(privateTmp) }

// placeOf follows the host's symbolic links, as far as there is something.
func placeOf(path string) string {
	place, _ := follow(path)
	return place
}

// follow is placeOf, with the links that were on the way.
func follow(path string) (string, []policy.Link) {
	if followed, links, err := policy.FollowAnywhere(path); err == nil {
		return followed, links
	}
	if path == "/" {
		return path, nil
	}
	above, links := follow(filepath.Dir(path))
	return filepath.Join(above, filepath.Base(path)), links
}

// addPrivate gives the task a /var/tmp and a /run of its own. Landlock grants on
// all that is mounted in a directory what it grants on the directory: so not where
// the policy names something of the host there, or above.
func (w *layout) addPrivate(roots policy.Roots, workspace landlock.AccessFS) {
	if w.dirs.Shared {
		return
	}
	for _, name := range []string{privateRun, privateVarTmp} {
		place := placeOf(name)
		if name == privateVarTmp && filepath.Dir(place) != placeOf("/var") {
			place = filepath.Join(placeOf("/var"), "tmp") // a link elsewhere, to /tmp mostly
		}
		if place == tmpPlace() {
			continue
		}
		if reason := w.notPrivate(place, roots, workspace); reason != "" {
			w.notes = append(w.notes, fmt.Sprintf("there is no private, writable %s, since %s", name, reason))
			continue
		}
		w.policy.Scratch = append(w.policy.Scratch, place)
		w.private = append(w.private, place)
	}
}

// notPrivate says why a place cannot be the task's own, "" if it can.
func (w *layout) notPrivate(place string, roots policy.Roots, workspace landlock.AccessFS) string {
	meets := func(path string) bool { return landlock.Beneath(place, path) || landlock.Beneath(path, place) }
	byMount := workspace&policy.FullAccess == policy.FullAccess
	for _, root := range slices.Concat(roots.Workspace, roots.ReadOnly, roots.Sockets) {
		own := isBeneathAny(w.dirs.own(), root)
		if meets(root) && (!own || !byMount) {
			return fmt.Sprintf("the policy shows %q of the host", root)
		}
	}
	for _, v := range w.volumes {
		if landlock.Beneath(v.task, place) || landlock.Beneath(place, v.task) && !v.readOnly && !byMount {
			return fmt.Sprintf("a volume is mounted on %q", v.task)
		}
	}
	for _, system := range w.policy.System {
		if meets(system) {
			return fmt.Sprintf("%q is one of system_read_roots", system)
		}
	}
	return ""
}

func isBeneathAny(dirs []string, path string) bool {
	return slices.ContainsFunc(dirs, func(dir string) bool { return landlock.Beneath(dir, path) })
}

// isScratch reports whether a path lies in a private, writable place.
func (w *layout) isScratch(path string) bool {
	return isBeneathAny(append([]string{privateTmp, tmpPlace(), privateShm}, w.private...), path)
}

// privateMounts are /tmp, /var/tmp and /run.
func (w *layout) privateMounts() []placed {
	tmp := func(at string) placed {
		return placed{own: true, Mount: executor.Mount{Type: executor.Bind, Source: w.dirs.tmp(), Target: at}}
	}
	mounts := []placed{tmp(tmpPlace())}
	for _, place := range w.private {
		// A directory for the mounts of Nomad's own directories does not belong into tmp.
		if w.inMemory(place) {
			mounts = append(mounts, placed{Mount: executor.Mount{Type: executor.Tmpfs, Target: place}})
		} else {
			mounts = append(mounts, tmp(place))
		}
	}
	if slices.Contains(w.private, placeOf(privateRun)) {
		mounts = append(mounts, symlink(filepath.Join(placeOf(filepath.Dir(varRun)), filepath.Base(varRun)), privateRun))
		mounts = append(mounts, w.systemLinks(placeOf(privateRun))...)
	}
	return mounts
}

// inMemory reports whether a private place is a file system of its own. The others show
// the task's tmp directory, as /tmp does.
func (w *layout) inMemory(place string) bool {
	return place == placeOf(privateRun) || place != w.dirs.Task && landlock.Beneath(place, w.dirs.Task)
}

// findServers finds the private places in which all sockets are the task's own. What the
// policy or a volume shows in one is of others, too: connecting there takes what it takes
// in that root. Landlock grants in all that is mounted in a directory what it grants on
// the directory, and on one by all of its names: so places that show the same directory
// are such places together, or none of them is.
func (w *layout) findServers(roots policy.Roots, connects bool) {
	others := slices.Clone(roots.ReadOnly)
	if !connects {
		others = append(others, roots.Workspace...)
	}
	for _, v := range w.volumes {
		if v.readOnly || !connects {
			others = append(others, v.task)
		}
	}
	if w.modes.hostIPC && !connects {
		others = append(others, privateShm) // the host's
	}
	shows := func(place string) string {
		if place == tmpPlace() || slices.Contains(w.private, place) && !w.inMemory(place) {
			return w.dirs.tmp()
		}
		return place
	}
	shared := map[string]bool{}
	for _, place := range w.policy.Scratch {
		if slices.ContainsFunc(others, func(path string) bool { return landlock.Beneath(place, path) }) {
			shared[shows(place)] = true
		}
	}
	for _, place := range w.policy.Scratch {
		if !shared[shows(place)] {
			w.policy.Servers = append(w.policy.Servers, place)
		}
	}
}

// runLinks are links in /run by which NixOS names what is in /nix/store.
var runLinks = []string{"current-system", "booted-system", "opengl-driver"}

// systemLinks are those that lead to the system's programs.
func (w *layout) systemLinks(run string) []placed {
	var mounts []placed
	for _, name := range runLinks {
		path := filepath.Join(run, name)
		if _, err := os.Readlink(path); err != nil {
			continue
		}
		if target, links, err := policy.FollowAnywhere(path); err == nil && isBeneathAny(w.policy.System, target) {
			mounts = append(mounts, symlink(path, links[0].Target))
		}
	}
	return mounts
}

// listTaskDir lets the task list its directory, of which it sees what the policy
// names. Landlock grants that on all in it: so not where the policy does not let
// the task list its workspace.
//
// What it makes beside what the policy names, it makes in its tmp directory: so a
// program that writes where it stands works under every policy that lets it write.
func (w *layout) listTaskDir(roots policy.Roots, workspace landlock.AccessFS) {
	shown := isBeneathAny(slices.Concat(roots.Workspace, roots.ReadOnly), w.dirs.Task)
	switch {
	case w.dirs.Shared || shown || workspace&landlock.ReadDir == 0:
	case workspace&policy.FullAccess == policy.FullAccess && !marksWithin(roots, w.dirs.Task) && !slices.ContainsFunc(slices.Concat(roots.ReadOnly, roots.Sockets), func(root string) bool { return landlock.Beneath(w.dirs.Task, root) }):
		w.policy.Scratch = append(w.policy.Scratch, w.dirs.Task)
		w.private = append(w.private, w.dirs.Task)
	default:
		w.policy.Listed = append(w.policy.Listed, w.dirs.Task)
	}
}

// marksWithin reports whether the policy closes or keeps something in a directory.
func marksWithin(roots policy.Roots, dir string) bool {
	return slices.ContainsFunc(slices.Concat(roots.Denied, roots.Protected), func(m policy.Mark) bool { return landlock.Beneath(dir, m.Path) })
}

// taskDirMounts show the task directory itself, with nothing in it but what other
// mounts show there, and the names by which the drivers exec and docker lead there.
func (w *layout) taskDirMounts(others []placed) []placed {
	var mounts []placed
	if !slices.Contains(w.private, w.dirs.Task) {
		mounts = append(mounts, placed{Mount: executor.Mount{Type: executor.Dir, Target: w.dirs.Task}})
	}
	for _, link := range w.dirs.Links {
		mounts = append(mounts, symlink(link.Path, link.Target))
	}
	if w.dirs.Mounts == "" {
		return mounts // not of Nomad's
	}
	for _, name := range execDirs {
		at, dir := "/"+name, filepath.Join(w.dirs.Task, name)
		meets := func(path string) bool { return landlock.Beneath(at, path) }
		if slices.ContainsFunc(others, func(m placed) bool { return meets(m.Target) && m.Type != executor.Dir }) {
			continue // the host's, or a volume
		}
		if slices.ContainsFunc(others, func(m placed) bool {
			return !m.guard && (landlock.Beneath(dir, m.Target) || isShown(&m) && landlock.Beneath(m.Target, dir))
		}) {
			mounts = append(mounts, symlink(at, dir))
		} else {
			mounts = append(mounts, placed{Mount: executor.Mount{Type: executor.Dir, Target: at}})
		}
	}
	return mounts
}

// unlinked leaves out symbolic links where something else is, or is mounted in,
// and empty directories in the place of which there is a link.
func unlinked(mounts []placed) []placed {
	var out []placed
	for i, m := range mounts {
		drop := false
		for j := range mounts {
			other := &mounts[j]
			switch {
			case i == j:
			case m.Type == executor.Symlink && other.Type == executor.Symlink:
				drop = drop || j < i && other.Target == m.Target
			case m.Type == executor.Symlink && other.Type == executor.Dir:
				drop = drop || strings.HasPrefix(other.Target, m.Target+"/")
			case m.Type == executor.Symlink:
				drop = drop || landlock.Beneath(m.Target, other.Target)
			case m.Type == executor.Dir && other.showsHost():
				drop = drop || other.Target == m.Target
			case m.Type == executor.Dir && other.Type == executor.Dir:
				drop = drop || j < i && other.Target == m.Target
			case m.Type == executor.Dir && other.Type == executor.Symlink:
				drop = drop || other.Target == m.Target && !slices.ContainsFunc(mounts, func(inside placed) bool { return strings.HasPrefix(inside.Target, m.Target+"/") })
			}
		}
		if !drop {
			out = append(out, m)
		}
	}
	return out
}

// homeDir is a task's HOME, if the job names none: the task directory, or local in
// it, where the policy lets the task's user write, else /tmp. Every passwd(5) can
// hold it.
func (w *layout) homeDir(who *account, roots policy.Roots, workspace landlock.AccessFS) string {
	tmp := privateTmp
	if w.dirs.Shared {
		tmp = w.dirs.tmp()
	}
	const needed = landlock.MakeReg | landlock.MakeDir | landlock.WriteFile
	if workspace&needed != needed {
		return tmp
	}
	for _, dir := range []string{w.dirs.Task, filepath.Join(w.dirs.Task, "local")} {
		if isBeneathAny(roots.Workspace, dir) && !isBeneathAny(roots.ReadOnly, dir) && isField(dir) && who.canWrite(dir) && exists(dir) {
			return dir
		}
	}
	return tmp
}
