// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package sandbox

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/moby/sys/mountinfo"

	"github.com/burin-labs/nomad-driver-harn/executor"
	"github.com/burin-labs/nomad-driver-harn/internal/plain"
	"github.com/burin-labs/nomad-driver-harn/landlock"
	"github.com/burin-labs/nomad-driver-harn/policy"
)

// alias is another path of the host at which a protected place shows, since a
// file system, or a part of it, is mounted twice.
type alias struct{ place, path string }

// hostMounts is what is mounted on the host, in the order of mounting.
type hostMounts []*mountinfo.Info

// mountReader is [readHostMounts], once for one start.
type mountReader func() (hostMounts, error)

func readHostMounts() (hostMounts, error) {
	mounts, err := mountinfo.GetMounts(nil)
	if err != nil {
		return nil, fmt.Errorf("reading /proc/self/mountinfo: %w", err)
	}
	return mounts, nil
}

// location is a place in a file system, whatever it is mounted as.
type location struct {
	major, minor int
	path         string
}

func (l location) holds(other location) bool {
	return l.major == other.major && l.minor == other.minor && landlock.Beneath(l.path, other.path)
}

// on is the mount that a path is in, nil if there is none.
func (h hostMounts) on(name string) *mountinfo.Info {
	var found *mountinfo.Info
	for _, m := range h {
		if landlock.Beneath(m.Mountpoint, name) && (found == nil || len(m.Mountpoint) >= len(found.Mountpoint)) {
			found = m
		}
	}
	return found
}

// settings is the mount by which the machine is configured that a path is in, or below what
// is mounted in it; nil if there is none.
func (h hostMounts) settings(name string) *mountinfo.Info {
	for dir := name; ; dir = path.Dir(dir) {
		if m := h.on(dir); m != nil && slices.Contains(executor.KernelSettings, m.FSType) {
			return m
		}
		if dir == "/" {
			return nil
		}
	}
}

func (h hostMounts) locate(name string) location {
	m := h.on(name)
	if m == nil {
		return location{}
	}
	return location{m.Major, m.Minor, path.Join(m.Root, strings.TrimPrefix(name, m.Mountpoint))}
}

// part is what one mount shows of a root, and where.
type part struct {
	location
	at string
}

// parts are what shows at a root and in it.
func (h hostMounts) parts(root string) []part {
	parts := []part{{h.locate(root), root}}
	for _, m := range h {
		if m.Mountpoint != root && landlock.Beneath(root, m.Mountpoint) {
			parts = append(parts, part{location{m.Major, m.Minor, m.Root}, m.Mountpoint})
		}
	}
	return parts
}

// aliases finds the other paths beneath the roots at which the places show. A
// place that holds a whole root is an alias at the root itself.
func (h hostMounts) aliases(roots []string, places []place) []alias {
	var found []alias
	located, mounted := make([]location, len(places)), make([]*mountinfo.Info, len(places))
	for i := range places {
		located[i], mounted[i] = h.locate(places[i].real), h.on(places[i].real)
	}
	for _, root := range roots {
		for _, shown := range h.parts(root) {
			on := h.on(shown.at)
			for i := range places {
				p := &places[i]
				if p.isOwn(shown.at) || landlock.Beneath(p.real, shown.at) {
					continue
				}
				switch at := located[i]; {
				case at.path == "" || landlock.Beneath(root, p.real) && mounted[i] == on:
				case shown.holds(at):
					found = append(found, alias{p.real, path.Join(shown.at, strings.TrimPrefix(at.path, shown.path))})
				case at.holds(shown.location):
					found = append(found, alias{p.real, shown.at})
				}
			}
		}
	}
	return found
}

// findAliases looks for other names of the protected places in what a task is
// given of the host, and refuses what is all within one. The task's own
// directories are known to have none if Nomad has mounted them.
func findAliases(roots policy.Roots, volumes []volume, dirs *Dirs, places []place, mounted mountReader) ([]alias, error) {
	var given []string
	fields, written := map[string]string{}, map[string]bool{}
	add := func(field, path string, write bool) {
		if dirs.Mounts == "" || !landlock.Beneath(dirs.Task, path) {
			given, fields[path] = append(given, path), field
			written[path] = written[path] || write
		}
	}
	for field, list := range map[string][]string{"workspace_roots": roots.Workspace, "read_only_roots": roots.ReadOnly, "unix_socket_roots": roots.Sockets} {
		for _, root := range list {
			add("capability_policy: "+field+": "+plain.Quote(cmp.Or(roots.Written[root], root)), root, field == "workspace_roots")
		}
	}
	for _, v := range volumes {
		add("volume_mount: destination "+plain.Quote(v.task)+": the volume's source "+plain.Quote(v.host), v.host, !v.readOnly)
	}
	if len(given) == 0 {
		return nil, nil
	}
	mounts, err := mounted()
	if err != nil {
		return nil, err
	}
	for _, root := range given {
		if m := mounts.on(root); m != nil && slices.Contains(executor.KernelFiles, m.FSType) {
			return nil, fmt.Errorf("%s lies in %s, where the kernel shows the host's processes or cgroups (file system %s), which no task gets: leave it out; a task has its own /proc and its own cgroup in /sys/fs/cgroup",
				fields[root], plain.Quote(m.Mountpoint), m.FSType)
		}
	}
	for _, root := range given {
		if m := mounts.settings(root); m != nil && written[root] {
			return nil, fmt.Errorf("%s lies in %s, where who writes configures the kernel or the machine (file system %s), which no task does: it can be read, by read_only_roots or a volume with read_only = true",
				fields[root], plain.Quote(m.Mountpoint), m.FSType)
		}
	}
	aliases := mounts.aliases(given, places)
	for _, a := range aliases {
		if slices.Contains(given, a.path) {
			return nil, fmt.Errorf("%s shows %s, which is protected from tasks, since the same file system is mounted there: leave it out", fields[a.path], plain.Quote(a.place))
		}
	}
	return aliases, nil
}

// realNames are the real paths of the host at which the place shows.
func (p *place) realNames(aliases []alias) []string {
	all := []string{p.real}
	for _, a := range aliases {
		if a.place == p.real {
			all = append(all, a.path)
		}
	}
	return all
}
