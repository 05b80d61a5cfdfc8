// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package sandbox

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/executor"
	"github.com/burin-labs/nomad-driver-harn/internal/plain"
	"github.com/burin-labs/nomad-driver-harn/landlock"
	"github.com/burin-labs/nomad-driver-harn/policy"
)

// guarded is where a protected place shows in a view.
type guarded struct {
	*place
	at string // as the task sees it
	// mount is the one that shows it.
	mount *placed
}

// guard covers the protected places where the view shows them, and takes away
// what the ruleset grants on them.
func (v *view) guard(w *layout, roots policy.Roots, plan *policy.Plan) error {
	v.places = slices.DeleteFunc(slices.Clone(w.places), func(p place) bool {
		return p.rule == socket && slices.ContainsFunc(roots.Sockets, func(root string) bool { return landlock.Beneath(p.real, root) })
	})
	shown := v.exposed(w.aliases)
	// What is to be closed and to be kept as it is, is closed.
	overruled := func(g *guarded) bool {
		return g.rule == readOnly && slices.ContainsFunc(shown, func(other guarded) bool { return other.rule != readOnly && other.at == g.at })
	}
	var guards []policy.Guard
	var covers []placed
	for i := range shown {
		g := &shown[i]
		hidden := g.mount != nil && g.mount.hides(g.at) // by name, whatever is there
		if g.dynamic && !hidden {
			guards = append(guards, policy.Guard{Path: g.at, Keep: g.keep(), Except: g.own})
		}
		if !v.private {
			continue
		}
		if m, ok := v.cover(g); ok && !hidden {
			covers = append(covers, m)
		}
		if !overruled(g) {
			v.closed = append(v.closed, executor.Closed{Path: g.at, ReadOnly: g.rule == readOnly, Holds: g.own})
		}
	}
	v.insert(covers)
	if v.ruleset == nil {
		return nil
	}
	guards = append(guards, v.linkGuards()...)
	kept := v.readOnlyGuards(roots)
	guards = append(guards, kept...)
	for i := range shown {
		if g := &shown[i]; g.marked && !overruled(g) {
			kept = append(kept, policy.Guard{Path: g.at, Keep: g.keep()})
			v.marked = append(v.marked, Marked{Path: g.at, Why: g.what, Readable: g.rule == readOnly})
		}
	}
	var err error
	if v.splits, err = plan.Guard(guards, v.names); err != nil {
		return err
	}
	plan.Notes = append(plan.Notes, splitNotes(v.splits, kept)...)
	return nil
}

// keep are the rights that rules of directories above leave on the place.
func (p *place) keep() landlock.AccessFS {
	if p.rule == readOnly {
		return policy.ReadAccess
	}
	return 0
}

// exposed finds where the mounts of the view show protected places.
func (v *view) exposed(aliases []alias) []guarded {
	var found []guarded
	for i := range v.places {
		p := &v.places[i]
		paths := p.realNames(aliases)
		if !v.private {
			for _, path := range paths {
				found = append(found, guarded{p, path, nil})
			}
			continue
		}
		for j := range v.mounts {
			m := &v.mounts[j]
			if !m.showsHost() {
				continue
			}
			for _, path := range paths {
				at, shows := m.place(path)
				// Something else may be mounted there.
				if shows && !p.isOwn(m.Source) && v.nearest(at) == m {
					found = append(found, guarded{p, at, m})
				}
			}
		}
	}
	return found
}

// place returns where in the view a bind shows a path of the host. For one that
// the source lies in, that is all of the bind.
func (m *placed) place(host string) (at string, shows bool) {
	switch {
	case landlock.Beneath(m.Source, host):
		return filepath.Join(m.Target, strings.TrimPrefix(host, m.Source)), true
	case landlock.Beneath(host, m.Source):
		return m.Target, true
	}
	return "", false
}

// covers reports whether the mount hides what it is mounted on.
func (m *placed) covers() bool { return m.guard && m.Type != executor.Bind }

// cover is the mount that covers what shows, false if none is needed, or nothing
// is there to be covered: then Landlock alone keeps closed what appears later.
func (v *view) cover(g *guarded) (placed, bool) {
	switch host, visible := v.hostPath(g.at); {
	case !visible || !isThere(host):
		return placed{}, false
	case g.rule == readOnly && g.mount.ReadOnly:
		return placed{}, false
	case g.rule == readOnly:
		return placed{guard: true, Mount: executor.Mount{Type: executor.Bind, Source: host, Target: g.at, ReadOnly: true, Optional: true}}, true
	case v.holdsOwn(g):
		return placed{guard: true, Mount: executor.Mount{Type: executor.Tmpfs, Target: g.at, ReadOnly: true}}, true
	}
	return placed{guard: true, Mount: executor.Mount{Type: executor.Mask, Target: g.at, Optional: true}}, true
}

// holdsOwn reports whether the task's own directories are mounted in a place.
func (v *view) holdsOwn(g *guarded) bool {
	return slices.ContainsFunc(v.mounts, func(m placed) bool {
		own := m.showsHost() && g.isOwn(m.Source) || m.Type == executor.Dir && g.isOwn(m.Target)
		return own && landlock.Beneath(g.at, m.Target)
	})
}

// insert puts guards where they belong: above what they cover, below what is
// mounted in them.
func (v *view) insert(guards []placed) {
	for _, g := range guards {
		// Of two, the stricter one: what is to be closed and to be kept as it is, is closed.
		switch i := slices.IndexFunc(v.mounts, func(m placed) bool { return m.guard && m.Target == g.Target }); {
		case i < 0:
			v.mounts = append(v.mounts, g)
		case g.covers() && !v.mounts[i].covers():
			v.mounts[i] = g
		}
	}
	slices.SortStableFunc(v.mounts, func(a, b placed) int { return strings.Compare(a.Target, b.Target) })
	// What lies in a covered place is covered with it, but for the task's own.
	all := v.mounts
	v.mounts = nil
	for i := range all {
		m := all[i]
		above := v.nearest(m.Target)
		if above != nil && above.covers() && m.guard {
			continue
		}
		if above != nil && above.guard && above.Type == executor.Tmpfs {
			m.Create = true
		}
		v.mounts = append(v.mounts, m)
	}
}

// linkGuards keep what replaces a symbolic link that leads to a protected place
// as closed as the place.
func (v *view) linkGuards() []policy.Guard {
	var guards []policy.Guard
	for i := range v.places {
		p := &v.places[i]
		for _, link := range p.links {
			for j := range v.mounts {
				if m := &v.mounts[j]; m.showsHost() && !p.isOwn(m.Source) && landlock.Beneath(m.Source, link) {
					at, _ := m.place(link)
					if m.replaces(at) {
						continue
					}
					guards = append(guards, policy.Guard{Path: at, Keep: p.keep(), Except: p.own})
				}
			}
		}
	}
	return guards
}

// readOnlyGuards keep read-only roots in writable ones as they are, also where
// somebody replaces them in a view of his own, as Nomad does with a template that
// it renders anew: the kernel then detaches the mount that makes them read-only.
// The price is that nothing new can be made in the directories above.
func (v *view) readOnlyGuards(roots policy.Roots) []policy.Guard {
	var guards []policy.Guard
	for _, root := range roots.ReadOnly {
		if isMount(root) {
			continue
		}
		if above := v.nearest(filepath.Dir(root)); above != nil && v.private && !above.volume && !isShown(above) {
			continue // the mount point is in a directory that only the task has
		}
		g := policy.Guard{Path: root, Keep: policy.ReadAccess | landlock.ResolveUnix}
		for _, workspace := range roots.Workspace {
			if landlock.Beneath(root, workspace) {
				g.Except = append(g.Except, workspace)
			}
		}
		guards = append(guards, g)
	}
	return guards
}

// splitNotes say where a task cannot make files although the directory is in a
// workspace root.
func splitNotes(splits []policy.Split, kept []policy.Guard) []string {
	var notes []string
	for _, s := range splits {
		if s.Access&landlock.MakeReg == 0 {
			continue
		}
		for _, g := range kept {
			if landlock.Beneath(s.Dir, g.Path) {
				what := "read-only"
				if g.Keep == 0 {
					what = "closed"
				}
				note := fmt.Sprintf("nothing new can be made in %s itself, as %s in it is %s: make it in a directory beside that one, or name workspace_roots beside it", plain.Quote(s.Dir), plain.Quote(g.Path), what)
				if !slices.Contains(notes, note) { // two rules may be of one directory
					notes = append(notes, note)
				}
				break
			}
		}
	}
	return notes
}

// isMount reports whether something is mounted at a path, statx(2). Before Linux
// 5.8 the kernel does not tell: then nothing is.
func isMount(path string) bool {
	var st unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW|unix.AT_NO_AUTOMOUNT, 0, &st)
	return err == nil && st.Attributes_mask&st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0
}

// withoutSockets shows a directory with sockets that control the host as what is
// in it now, but for these: before Landlock mediates connecting to sockets (ABI 9),
// one that appears later would be within reach.
func (w *layout) withoutSockets(mounts []placed, roots policy.Roots) ([]placed, error) {
	var out []placed
	for _, m := range mounts {
		var inside []string
		for i := range w.places {
			p := &w.places[i]
			named := slices.ContainsFunc(roots.Sockets, func(root string) bool { return landlock.Beneath(p.real, root) })
			if m.Type == executor.Bind && !named && p.rule == socket && p.real != m.Source && landlock.Beneath(m.Source, p.real) {
				inside = append(inside, p.real)
			}
		}
		if len(inside) == 0 {
			out = append(out, m)
			continue
		}
		entries, err := entriesOf(m.Source, maxEntries+1)
		if err != nil {
			return nil, fmt.Errorf("listing %s, which sockets that control this host lie in: %w", plain.Quote(m.Source), err)
		}
		if len(entries) > maxEntries {
			return nil, fmt.Errorf("%s has more than %d files beside %s, %s: name the directories in it that the task needs", plain.Quote(m.Source), maxEntries, plain.Quote(inside[0]), "a socket that controls this host")
		}
		list := []placed{{own: m.own, Mount: executor.Mount{Type: executor.Tmpfs, Target: m.Target, ReadOnly: true}}}
		for _, entry := range entries {
			child := m
			child.Source, child.Target = filepath.Join(m.Source, entry.Name()), filepath.Join(m.Target, entry.Name())
			child.Optional = true
			if entry.Type() == fs.ModeSymlink {
				if target, err := os.Readlink(child.Source); err == nil {
					list = append(list, symlink(child.Target, target))
				}
			} else if !slices.Contains(inside, child.Source) {
				list = append(list, child)
			}
		}
		deeper, err := w.withoutSockets(list, roots)
		if err != nil {
			return nil, err
		}
		out = append(out, deeper...)
	}
	return out, nil
}

// entriesOf lists a directory in its order, up to a number of entries.
func entriesOf(dir string, most int) ([]fs.DirEntry, error) {
	f, err := os.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	entries, err := f.ReadDir(most)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, nil
}

// maxEntries limits the mounts that take the place of one.
const maxEntries = 512

// names lists a directory of the view.
func (v *view) names(dir string) ([]string, error) {
	host, visible := v.hostPath(dir)
	if !visible {
		var names []string
		for i := range v.mounts {
			if m := &v.mounts[i]; filepath.Dir(m.Target) == dir && m.Type != executor.Symlink {
				names = append(names, filepath.Base(m.Target))
			}
		}
		return names, nil
	}
	list, err := names(host)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", dir, err)
	}
	return list, nil
}
