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

// view is the file system as a task sees it. A confined task has a root of its
// own, in which only what its policy names is: what Landlock denies is not
// even there to be found, and the host's mounts are not held by the task. A
// task without confinement sees the host's.
type view struct {
	private bool
	mounts  []placed          // parents before what lies in them
	ruleset *landlock.Ruleset // nil for a task without Landlock
	places  []place           // that are protected from the task
	closed  []executor.Closed // where these would show
	splits  []policy.Split    // directories that protected places lie in
	marked  []Marked          // places of the policy, where they would show
}

// placed is a mount, and how it is to be placed.
type placed struct {
	executor.Mount
	// own: it shows a place of the task's own, where directories can be made for
	// other mounts.
	own bool
	// guard: it takes something away from what shows, and is needed only there.
	guard bool
	// volume: it shows another place, with the rights of a workspace root.
	volume bool
}

// makeView lists the mounts of a task.
func makeView(w *layout, roots policy.Roots, workspace landlock.AccessFS, plan *policy.Plan) (*view, error) {
	if w.dirs.Shared {
		return w.sharedView(roots, workspace, plan)
	}
	v := &view{private: plan.Confined(), ruleset: plan.Landlock}
	mounts := w.volumeMounts()
	if v.private {
		mounts = slices.Concat(w.baseMounts(plan.Landlock != nil, plan.Network), w.privateMounts(), w.layeredRoots(w.rootMounts(roots), plan.Network), mounts)
		if plan.Network {
			mounts = append(mounts, w.networkMounts()...)
		}
		mounts = append(mounts, w.taskDirMounts(mounts)...)
	} else {
		mounts = append(mounts, w.procMount())
	}
	if v.private {
		var err error
		if mounts, err = w.withoutSockets(mounts, roots); err != nil {
			return nil, err
		}
		mounts = unlinked(mounts)
	}
	slices.SortStableFunc(mounts, func(a, b placed) int { return strings.Compare(a.Target, b.Target) })
	for _, m := range mounts {
		if err := v.add(m, w, workspace); err != nil {
			return nil, err
		}
	}
	if err := v.guard(w, roots, plan); err != nil {
		return nil, err
	}
	if !v.private {
		return v, nil
	}
	return v, prove(v.list(), v.ruleset, v.places, isThere)
}

// sharedView is the host's file system, as far as Landlock admits it. What only
// a mount could do is refused.
func (w *layout) sharedView(roots policy.Roots, workspace landlock.AccessFS, plan *policy.Plan) (*view, error) {
	for _, root := range slices.Concat(roots.Workspace, roots.ReadOnly) {
		if landlock.Beneath(root, w.dirs.Clients) {
			return nil, fmt.Errorf("root %s contains %s, where the records and the tmp directory of this run are, which nothing can hide without root and user namespaces: set TMPDIR to a directory outside of it", root, w.dirs.Clients)
		}
	}
	for _, root := range roots.ReadOnly {
		for _, above := range roots.Workspace {
			if landlock.Beneath(above, root) && workspace&^policy.ReadAccess != 0 {
				return nil, fmt.Errorf("read_only_roots: %s lies in the workspace root %s, where only a mount could keep it read-only, and without root and user namespaces nothing can be mounted: run it as root, or name workspace roots beside it", root, above)
			}
		}
	}
	v := &view{ruleset: plan.Landlock}
	return v, v.guard(w, roots, plan)
}

// add adds a mount, unless what it would show is there already.
func (v *view) add(m placed, w *layout, workspace landlock.AccessFS) error {
	above := v.nearest(m.Target)
	if above != nil && m.Type == executor.Symlink && above.showsHost() {
		return nil // it shows with its directory
	}
	// The task's own directories may lie in one that is covered.
	if isShown(&m) && above != nil && isShown(above) && above.ReadOnly == m.ReadOnly && above.own == m.own {
		return nil
	}
	if (isShown(&m) || m.volume && v.private) && !m.ReadOnly {
		if err := confineByMount(&m, workspace, w.isScratch(m.Target), v.ruleset != nil); err != nil {
			return err
		}
	}
	if m.guard && !v.shows(m.Target) {
		return nil
	}
	// Directories are made in the task's own places, and for a volume where the task
	// could make them, too: in no other places of the host's.
	m.Create = v.private && !m.guard && v.mayCreate(&m, workspace)
	if m.volume && v.private && !m.Create && !v.shows(m.Target) && !v.makes(&m) && exists(m.Source) {
		return fmt.Errorf("volume_mount: destination %q: there is nothing on this host, and nothing can be made there, since %q shows the host's own: create it on the host, or choose a destination elsewhere, as in the task directory", m.Target, above.Target)
	}
	if what := otherKind(v, &m); what != "" {
		return fmt.Errorf("volume_mount: destination %q: the volume's source is %q: %s: choose another destination", m.Target, m.Source, what)
	}
	v.mounts = append(v.mounts, m)
	return nil
}

// otherKind says that a volume cannot be mounted on what shows at its place, "" if it
// can, or nothing does.
func otherKind(v *view, m *placed) string {
	if !m.volume {
		return ""
	}
	host, visible := v.hostPath(m.Target)
	if !visible || v.makes(m) {
		return ""
	}
	there, err := os.Stat(host)
	source, sourceErr := os.Stat(m.Source)
	switch {
	case err != nil || sourceErr != nil || there.IsDir() == source.IsDir():
		return ""
	case source.IsDir():
		return "a directory cannot be mounted on a file"
	}
	return "a file cannot be mounted on a directory"
}

// mayCreate reports whether what is missing of a target can be made.
func (v *view) mayCreate(m *placed, workspace landlock.AccessFS) bool {
	above := v.nearest(filepath.Dir(m.Target))
	if above == nil {
		return true
	}
	switch above.Type {
	case executor.Dir, executor.Tmpfs:
		return true
	case executor.Bind:
		const needed = landlock.MakeDir | landlock.MakeReg
		return !above.ReadOnly && (above.own || m.volume && workspace&needed == needed)
	}
	return false
}

// makes reports whether the layers of an overlay make the target of a volume.
func (v *view) makes(m *placed) bool {
	above := v.nearest(filepath.Dir(m.Target))
	return above != nil && slices.ContainsFunc(above.Layers, func(l executor.Layer) bool { return filepath.Join(above.Target, l.Path) == m.Target })
}

// layeredRoots shows read-only roots with places for volumes that they lack.
func (w *layout) layeredRoots(mounts []placed, network bool) []placed {
	for i := range mounts {
		if m := &mounts[i]; m.Type == executor.Bind && m.ReadOnly && isShown(m) && !w.shownBelow(mounts, m.Target) {
			mounts[i] = w.layered(*m, network)
		}
	}
	return mounts
}

// shownBelow reports whether another mount shows more of the host in a directory.
func (w *layout) shownBelow(mounts []placed, dir string) bool {
	return slices.ContainsFunc(mounts, func(m placed) bool { return m.Target != dir && m.showsHost() && landlock.Beneath(dir, m.Target) })
}

// networkMounts are what a task with network finds beside.
func (w *layout) networkMounts() []placed {
	var mounts []placed
	for _, path := range w.policy.Network {
		if path != hostFilesPlace {
			mounts = append(mounts, shown(path, true))
		}
	}
	if w.dns != "" && !isBeneathAny(w.policy.System, dnsTarget()) {
		mounts = append(mounts, dnsMount(w.dns)) // where the host's link leads
	}
	return append(mounts, w.hostFilesMounts(true)...)
}

// shown is the mount that lets a path of the host show at its own place.
func shown(path string, readOnly bool) placed {
	return placed{Mount: executor.Mount{Type: executor.Bind, Source: path, Target: path, ReadOnly: readOnly}}
}

func isShown(m *placed) bool { return m.showsHost() && m.Source == m.Target }

// showsHost reports whether files of the host show by the mount.
func (m *placed) showsHost() bool { return m.Type == executor.Bind || m.Type == executor.Overlay }

// hides reports whether a path in the mount is hidden by its layers.
func (m *placed) hides(path string) bool {
	return slices.ContainsFunc(m.Layers, func(l executor.Layer) bool {
		return l.Kind == executor.LayerHide && landlock.Beneath(filepath.Join(m.Target, l.Path), path)
	})
}

// replaces reports whether a path in the mount is that of its layers, whatever the
// host has there.
func (m *placed) replaces(path string) bool {
	return slices.ContainsFunc(m.Layers, func(l executor.Layer) bool {
		return l.Kind != executor.LayerDir && landlock.Beneath(filepath.Join(m.Target, l.Path), path)
	})
}

func bindAll(paths []string, readOnly bool) []placed {
	var mounts []placed
	for _, path := range paths {
		mounts = append(mounts, shown(path, readOnly))
	}
	return mounts
}

func symlink(path, target string) placed {
	return placed{Mount: executor.Mount{Type: executor.Symlink, Source: target, Target: path}}
}

// rootMounts show the roots of the policy, and the links by which the job may
// name them.
func (w *layout) rootMounts(roots policy.Roots) []placed {
	mounts := slices.Concat(bindAll(roots.Workspace, false), bindAll(roots.ReadOnly, true))
	shows := mounts
	for _, root := range roots.Sockets {
		// Where a workspace shows it, a task may make sockets of its own, too.
		if !slices.ContainsFunc(shows, func(m placed) bool { return landlock.Beneath(m.Target, root) }) {
			mounts = append(mounts, shown(root, true))
		}
	}
	for i := range mounts {
		mounts[i].own = landlock.Beneath(w.dirs.Task, mounts[i].Target)
	}
	for _, link := range roots.Links {
		mounts = append(mounts, symlink(link.Path, link.Target))
	}
	return mounts
}

// confineByMount gives a workspace root its rights where Landlock cannot: on a
// node without Landlock, and under a private directory. Landlock grants what
// any directory above grants, and a private directory grants everything. (Where
// the agent's data is in /tmp, as with agent -dev, all roots are such roots.)
func confineByMount(m *placed, access landlock.AccessFS, scratch, landlocked bool) error {
	switch {
	case access == policy.FullAccess || landlocked && !scratch:
		return nil
	case access == policy.ReadAccess:
		m.ReadOnly = true
		return nil
	case !scratch:
		return nil
	case m.volume:
		return fmt.Errorf("volume_mount: destination %q lies under a directory of which the task has a private, writable version: there a volume can be read-only, or readable and writable, but not %v: choose a destination outside of /tmp", m.Target, access)
	}
	return fmt.Errorf("the workspace root %s lies under a directory of which the task has a private, writable version: there it can be read-only, or readable and writable, but not %v: set the Nomad client's alloc_dir and alloc_mounts_dir to places outside of /tmp", m.Target, access)
}

// list is the mounts for the executor.
func (v *view) list() []executor.Mount {
	list := make([]executor.Mount, len(v.mounts))
	for i := range v.mounts {
		list[i] = v.mounts[i].Mount
	}
	return list
}

// nearest is the last mount at or above a path, nil if there is none.
func (v *view) nearest(path string) *placed {
	for i := len(v.mounts) - 1; i >= 0; i-- { // slices.Backward would copy each
		if landlock.Beneath(v.mounts[i].Target, path) {
			return &v.mounts[i]
		}
	}
	return nil
}

// hostPath returns where a path of the view is on the host, false if it is
// nowhere.
func (v *view) hostPath(path string) (string, bool) {
	m := v.nearest(path)
	if m == nil {
		return path, !v.private
	}
	if !m.showsHost() || m.hides(path) {
		return "", false
	}
	return m.Source + strings.TrimPrefix(path, m.Target), true
}

// shows reports whether there is something at a path of the view.
func (v *view) shows(path string) bool {
	if m := v.nearest(path); m != nil && m.Type == executor.Proc {
		return exists(path)
	}
	host, visible := v.hostPath(path)
	return visible && exists(host)
}

// admits reports whether the task can see a real path, and has the access to
// it.
func (v *view) admits(path string, access landlock.AccessFS) bool {
	if m := v.nearest(path); m == nil && v.private || m != nil && !m.showsHost() && m.Type != executor.Tmpfs {
		return false
	}
	if v.lacks(path) {
		return false
	}
	return v.ruleset == nil || v.ruleset.Admits(path, access)
}

// lacks reports whether a path of the host is hidden by a private directory that
// has nothing there.
func (v *view) lacks(path string) bool {
	m := v.nearest(path)
	if m == nil || path == m.Target || m.volume || isShown(m) || m.Type != executor.Tmpfs && m.Type != executor.Bind {
		return false
	}
	host, visible := v.hostPath(path)
	return exists(path) && (!visible || !exists(host))
}

// access is what the task can do with a real path, as far as file permissions
// go, by Landlock's rights: those of the rules, but for what a read-only or
// covering mount takes away.
func (v *view) access(path string) landlock.AccessFS {
	access := policy.FullAccess | landlock.IoctlDev | landlock.ResolveUnix
	if v.ruleset != nil {
		access = v.ruleset.Granted(path)
	}
	m := v.nearest(path)
	switch {
	case m == nil && v.private, m != nil && (m.covers() || m.hides(path)):
		return 0
	case m != nil && m.ReadOnly:
		// A device or a socket is no part of the file system that it lies in.
		access &= policy.ReadAccess | landlock.IoctlDev | landlock.ResolveUnix
	}
	return access
}

// exists reports whether there is anything at a path.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// isThere reports whether there is anything at a path that can be read: a link is nothing
// by itself.
func isThere(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.Mode().Type() != os.ModeSymlink
}
