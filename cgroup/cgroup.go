// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Package cgroup finds the cgroups that a Nomad client has made for a task, adds
// those that it does not make, and limits them: v1 and v2.
package cgroup

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/cgroups"
	"github.com/opencontainers/cgroups/fs"
	"github.com/opencontainers/cgroups/fs2"
	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/internal/plain"
)

// root is where cgroups are mounted.
const root = "/sys/fs/cgroup"

// Version is the version of cgroups in use: 1, 2, or 0 for none.
func Version() int {
	if cgroups.IsCgroup2UnifiedMode() {
		return 2
	}
	if _, err := os.Stat(filepath.Join(root, "memory", "cgroup.procs")); err == nil {
		return 1
	}
	return 0
}

// scopeOf is the name of a task in the names of its cgroups.
func scopeOf(allocID, task string) string { return allocID + "." + task }

// Controllers of cgroups v1.
var (
	// clientControllers are those in whose hierarchies the Nomad client makes a
	// cgroup for each task.
	clientControllers = []string{"freezer", "cpu", "memory"}
	// ownControllers are those for which the driver makes one itself.
	ownControllers = []string{"cpuacct", "pids"}
)

// Group are the cgroups of a task. The zero value has none.
type Group struct {
	// Paths are the directories by controller, "" for the one of cgroups v2.
	Paths map[string]string
	// Made are those that the driver makes, to be removed by it.
	Made []string
}

// Find finds the cgroups that the Nomad client has made for a task, and names
// those that the driver adds. given is the path of the one that the client names,
// "" if it does not manage cgroups: then there are none.
func Find(given, allocID, task string) (Group, error) {
	if given == "" {
		return Group{}, nil
	}
	return find(Version(), given, allocID, task)
}

// None is what to do about it where [Version] is 0.
const None = root + " has no cgroups that limit memory: mount cgroup2 there, or cgroups v1 with the controller memory, without cgroup_disable=memory as a boot parameter; in a container, give it the host's"

func find(version int, given, allocID, task string) (Group, error) {
	g := Group{Paths: map[string]string{}}
	var own map[string]string
	switch version {
	case 2:
		g.Paths[""] = given
	case 1:
		scope := scopeOf(allocID, task)
		parent, err := v1Parent(given, scope)
		if err != nil {
			return Group{}, err
		}
		g.Paths["cpuset"] = given
		scope = filepath.Join(parent, scope)
		for _, controller := range clientControllers {
			g.Paths[controller] = filepath.Join(root, controller, scope)
		}
		own = ownPaths(scope)
	default:
		return Group{}, fmt.Errorf("the cgroup %s of the task cannot be used: %s", plain.Name(given), None)
	}
	for _, path := range g.Paths {
		if _, err := os.Stat(path); err != nil {
			return Group{}, fmt.Errorf("a cgroup of the task is missing, which the Nomad client makes: %w: look for an error about cgroups in the client's log", err)
		}
	}
	for controller, path := range own {
		g.Paths[controller] = path
		if !isClients(controller) {
			g.Made = append(g.Made, path)
		}
	}
	return g, nil
}

// Check checks that cgroups, which a record or a handle names, are those that a
// task has by [Find]: they are killed and removed.
func (g *Group) Check(allocID, task string) error {
	if len(g.Paths) == 0 && len(g.Made) == 0 {
		return nil
	}
	scope := scopeOf(allocID, task)
	if scope != filepath.Base(scope) {
		return fmt.Errorf("no cgroup has the name %q", scope)
	}
	if unified, v2 := g.Paths[""]; v2 {
		below, ok := strings.CutPrefix(unified, root+"/")
		if !ok || len(g.Paths) != 1 || len(g.Made) != 0 || filepath.Clean(unified) != unified ||
			!strings.Contains(below, "/") || filepath.Base(unified) != scope+".scope" {
			return fmt.Errorf("cgroups %q (made: %q), expected one alone, %s/PARENT/%s.scope", g.Paths, g.Made, root, scope)
		}
		return nil
	}
	parent, err := v1Parent(g.Paths["cpuset"], scope)
	if err != nil {
		return err
	}
	if !filepath.IsLocal(parent) || filepath.Clean(parent) != parent || parent == "." {
		return fmt.Errorf("%q is the parent of no cgroup", parent)
	}
	for controller, path := range g.Paths {
		known := slices.Contains(clientControllers, controller) || slices.Contains(ownControllers, controller)
		if want := filepath.Join(root, controller, parent, scope); controller != "cpuset" && (!known || path != want) {
			return fmt.Errorf("the cgroup of controller %q is %q, expected %q", controller, path, want)
		}
	}
	for _, path := range g.Made {
		if !slices.ContainsFunc(ownControllers, func(controller string) bool { return g.Paths[controller] == path }) {
			return fmt.Errorf("cgroup %q is none that the driver makes", path)
		}
	}
	return nil
}

// ownPaths are the driver's own cgroups, in the hierarchies that are mounted.
func ownPaths(scope string) map[string]string {
	paths := map[string]string{}
	for _, controller := range ownControllers {
		if _, err := os.Stat(filepath.Join(root, controller, "cgroup.procs")); err == nil {
			paths[controller] = filepath.Join(root, controller, scope)
		}
	}
	return paths
}

// isClients reports whether a controller shares a hierarchy with one of the
// client's, as cpuacct often does with cpu: then the cgroup is the client's.
func isClients(controller string) bool {
	info, err := os.Stat(filepath.Join(root, controller))
	return err == nil && slices.ContainsFunc(clientControllers, func(other string) bool {
		o, err := os.Stat(filepath.Join(root, other))
		return err == nil && os.SameFile(info, o)
	})
}

// v1Parent is the parent of all of the client's cgroups, cgroup_parent in its
// configuration. A driver is told it as part of the cpuset's path only: tasks
// share the cpuset "share", or have one of their own in "reserve".
func v1Parent(cpuset, scope string) (string, error) {
	rel, ok := strings.CutPrefix(cpuset, filepath.Join(root, "cpuset")+"/")
	for _, suffix := range []string{"/share", "/reserve/" + scope} {
		if parent, found := strings.CutSuffix(rel, suffix); ok && found {
			return parent, nil
		}
	}
	return "", fmt.Errorf("the task's cpuset cgroup is %s, expected %s/cpuset/PARENT/share or .../PARENT/reserve/%s", plain.Name(cpuset), root, plain.Name(scope))
}

// Make makes the driver's own cgroups. One may be there from an earlier start
// of this task.
func (g *Group) Make() error {
	for _, path := range g.Made {
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		if err == nil {
			err = os.Mkdir(path, 0o755)
		}
		if err != nil && !errors.Is(err, os.ErrExist) {
			return fmt.Errorf("making the task's cgroup: %w", err)
		}
	}
	return nil
}

// Remove removes the driver's own cgroups. All processes have left them.
func (g *Group) Remove() {
	for _, path := range g.Made {
		_ = cgroups.RemovePath(path)
	}
}

// Dirs are the directories for a process to join, each once.
func (g *Group) Dirs() []string {
	return slices.Compact(slices.Sorted(maps.Values(g.Paths)))
}

// PIDs are the processes in the cgroup, as the host sees them; false if the
// task has no cgroup.
func (g *Group) PIDs() ([]int, bool) {
	path := g.Own()
	if path == "" {
		return nil, false
	}
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return nil, false
	}
	if st.Nlink > 2 { // there are cgroups within it
		pids, err := cgroups.GetAllPids(path)
		return pids, err == nil
	}
	text, err := os.ReadFile(path + "/cgroup.procs")
	if err != nil {
		return nil, false
	}
	var pids []int
	for line := range bytes.FieldsSeq(text) {
		if pid, err := strconv.Atoi(string(line)); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids, true
}

// manager writes the cgroups, of v1 without some controllers.
func (g *Group) manager(without ...string) (cgroups.Manager, error) {
	if unified, v2 := g.Paths[""]; v2 {
		return fs2.NewManager(&cgroups.Cgroup{}, unified)
	}
	paths := maps.Clone(g.Paths)
	for _, controller := range without {
		delete(paths, controller)
	}
	return fs.NewManager(&cgroups.Cgroup{Resources: &cgroups.Resources{}}, paths)
}

// Own is the cgroup by which the task's processes are found: no other task is
// in it.
func (g *Group) Own() string {
	if unified, v2 := g.Paths[""]; v2 {
		return unified
	}
	return g.Paths["freezer"]
}

// Kept reports whether the client keeps the cgroup of another task, as it does until
// that is over for good. It is not known if this task has none.
func (g *Group) Kept(allocID, task string) (kept, known bool) {
	scope := scopeOf(allocID, task)
	if unified, v2 := g.Paths[""]; v2 {
		// Beside the slice of this task is the other one, for tasks with cores of their own.
		found, err := filepath.Glob(filepath.Join(quoteGlob(filepath.Dir(filepath.Dir(unified))), "*", quoteGlob(scope)+".scope"))
		return err != nil || len(found) > 0, true
	}
	if own := g.Own(); own != "" {
		_, err := os.Lstat(filepath.Join(filepath.Dir(own), scope))
		return !errors.Is(err, os.ErrNotExist), true
	}
	return false, false
}

// quoteGlob has a pattern of [filepath.Glob] stand for this very text.
func quoteGlob(text string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(text)
}
