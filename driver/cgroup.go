// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/nomad/plugins/drivers"
	"github.com/opencontainers/cgroups"
	"github.com/opencontainers/cgroups/fs"
	"github.com/opencontainers/cgroups/fs2"
	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/internal/plain"
	"github.com/burin-labs/nomad-driver-harn/sandbox"
)

const cgroupRoot = "/sys/fs/cgroup"

// cgroupVersion is the version of cgroups in use: 1, 2, or 0 for none.
func cgroupVersion() int {
	if cgroups.IsCgroup2UnifiedMode() {
		return 2
	}
	if _, err := os.Stat(filepath.Join(cgroupRoot, "memory", "cgroup.procs")); err == nil {
		return 1
	}
	return 0
}

// Controllers of cgroups v1.
var (
	// clientControllers are those in whose hierarchies the Nomad client makes a
	// cgroup for each task.
	clientControllers = []string{"freezer", "cpu", "memory"}
	// ownControllers are those for which the driver makes one itself.
	ownControllers = []string{"cpuacct", "pids"}
)

// cgroup are the cgroups of a task. The zero value has none.
type cgroup struct {
	// Paths are the directories by controller, "" for the one of cgroups v2.
	Paths map[string]string
	// Made are those that the driver makes, to be removed by it.
	Made []string
}

// findCgroup finds the cgroups that the Nomad client has made for a task, and
// names those that the driver adds. There are none if the client does not
// manage cgroups.
func findCgroup(cfg *drivers.TaskConfig) (cgroup, error) {
	if cfg.Resources == nil || cfg.Resources.LinuxResources == nil || cfg.Resources.LinuxResources.CpusetCgroupPath == "" {
		return cgroup{}, nil
	}
	given := cfg.Resources.LinuxResources.CpusetCgroupPath
	g := cgroup{Paths: map[string]string{}}
	var own map[string]string
	switch cgroupVersion() {
	case 2:
		g.Paths[""] = given
	case 1:
		scope := cfg.AllocID + "." + cfg.Name
		parent, err := v1Parent(given, scope)
		if err != nil {
			return cgroup{}, err
		}
		g.Paths["cpuset"] = given
		scope = filepath.Join(parent, scope)
		for _, controller := range clientControllers {
			g.Paths[controller] = filepath.Join(cgroupRoot, controller, scope)
		}
		own = ownPaths(scope)
	}
	for _, path := range g.Paths {
		if _, err := os.Stat(path); err != nil {
			return cgroup{}, fmt.Errorf("a cgroup of the task is missing, which the Nomad client makes: %w: look for an error about cgroups in the client's log", err)
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

// check checks that cgroups, which a record or a handle names, are those that a
// task has by [findCgroup]: they are killed and removed.
func (g *cgroup) check(allocID, task string) error {
	if len(g.Paths) == 0 && len(g.Made) == 0 {
		return nil
	}
	scope := allocID + "." + task
	if scope != filepath.Base(scope) {
		return fmt.Errorf("no cgroup has the name %q", scope)
	}
	if unified, v2 := g.Paths[""]; v2 {
		below, ok := strings.CutPrefix(unified, cgroupRoot+"/")
		if !ok || len(g.Paths) != 1 || len(g.Made) != 0 || filepath.Clean(unified) != unified ||
			!strings.Contains(below, "/") || filepath.Base(unified) != scope+".scope" {
			return fmt.Errorf("cgroups %q (made: %q), expected one alone, %s/PARENT/%s.scope", g.Paths, g.Made, cgroupRoot, scope)
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
		if want := filepath.Join(cgroupRoot, controller, parent, scope); controller != "cpuset" && (!known || path != want) {
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
		if _, err := os.Stat(filepath.Join(cgroupRoot, controller, "cgroup.procs")); err == nil {
			paths[controller] = filepath.Join(cgroupRoot, controller, scope)
		}
	}
	return paths
}

// isClients reports whether a controller shares a hierarchy with one of the
// client's, as cpuacct often does with cpu: then the cgroup is the client's.
func isClients(controller string) bool {
	info, err := os.Stat(filepath.Join(cgroupRoot, controller))
	return err == nil && slices.ContainsFunc(clientControllers, func(other string) bool {
		o, err := os.Stat(filepath.Join(cgroupRoot, other))
		return err == nil && os.SameFile(info, o)
	})
}

// v1Parent is the parent of all of the client's cgroups, cgroup_parent in its
// configuration. A driver is told it as part of the cpuset's path only: tasks
// share the cpuset "share", or have one of their own in "reserve".
func v1Parent(cpuset, scope string) (string, error) {
	rel, ok := strings.CutPrefix(cpuset, filepath.Join(cgroupRoot, "cpuset")+"/")
	for _, suffix := range []string{"/share", "/reserve/" + scope} {
		if parent, found := strings.CutSuffix(rel, suffix); ok && found {
			return parent, nil
		}
	}
	return "", fmt.Errorf("the task's cpuset cgroup is %s, expected %s/cpuset/PARENT/share or .../PARENT/reserve/%s", plain.Name(cpuset), cgroupRoot, plain.Name(scope))
}

// make makes the driver's own cgroups. One may be there from an earlier start
// of this task.
func (g *cgroup) make() error {
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

// remove removes the driver's own cgroups. All processes have left them.
func (g *cgroup) remove() {
	for _, path := range g.Made {
		_ = cgroups.RemovePath(path)
	}
}

// dirs are the directories for a process to join, each once.
func (g *cgroup) dirs() []string {
	return slices.Compact(slices.Sorted(maps.Values(g.Paths)))
}

// pids are the processes in the cgroup, as the host sees them; false if the
// task has no cgroup.
func (g *cgroup) pids() ([]int, bool) {
	path := g.own()
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
		pids = append(pids, int(decimal(line)))
	}
	return pids, true
}

// manager writes the cgroups, of v1 without some controllers.
func (g *cgroup) manager(without ...string) (cgroups.Manager, error) {
	if unified, v2 := g.Paths[""]; v2 {
		return fs2.NewManager(&cgroups.Cgroup{}, unified)
	}
	paths := maps.Clone(g.Paths)
	for _, controller := range without {
		delete(paths, controller)
	}
	return fs.NewManager(&cgroups.Cgroup{Resources: &cgroups.Resources{}}, paths)
}

// own is the cgroup by which the task's processes are found: no other task is
// in it.
func (g *cgroup) own() string {
	if unified, v2 := g.Paths[""]; v2 {
		return unified
	}
	return g.Paths["freezer"]
}

// apply writes the settings into the task's cgroups. Their processes come later.
func (g *cgroup) apply(limits *sandbox.CgroupLimits) error {
	if len(g.Paths) == 0 {
		return nil
	}
	settings := cgroups.Resources{
		SkipDevices: true,
		Memory:      limits.Memory, MemorySwap: limits.MemorySwap, MemoryReservation: limits.MemoryReservation,
		CpuShares: limits.CPUShares, CpuQuota: limits.CPUQuota, CpuPeriod: limits.CPUPeriod, CpusetCpus: limits.Cpuset,
	}
	if limits.CPUShares > 0 {
		settings.CpuWeight = cgroups.ConvertCPUSharesToCgroupV2Value(limits.CPUShares)
	}
	if limits.Pids > 0 {
		settings.PidsLimit = &limits.Pids
	}
	if _, v2 := g.Paths[""]; v2 {
		settings.CpuShares = 0
	} else {
		settings.CpuWeight = 0
		none := uint64(0)
		settings.MemorySwappiness = &none
		if _, err := os.Stat(filepath.Join(g.Paths["memory"], "memory.memsw.limit_in_bytes")); err != nil {
			settings.MemorySwap = 0 // the kernel does not count swap
		}
		if settings.CpusetCpus == "" {
			// The cpuset is one that the client manages, for many tasks.
			return g.set(&settings, "cpuset")
		}
	}
	return g.set(&settings)
}

func (g *cgroup) set(r *cgroups.Resources, without ...string) error {
	manager, err := g.manager(without...)
	if err != nil {
		return err
	}
	if err := manager.Set(r); err != nil {
		return fmt.Errorf("setting the limits of the task's cgroup: %w", err)
	}
	return nil
}
