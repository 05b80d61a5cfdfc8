// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/burin-labs/nomad-driver-harn/executor"
	"github.com/burin-labs/nomad-driver-harn/landlock"
	"github.com/burin-labs/nomad-driver-harn/policy"
)

// defaultSystemReadRoots are what every task may read and execute unless the
// operator says otherwise, as in Harn.
var defaultSystemReadRoots = []string{"/bin", "/lib", "/lib64", "/usr", "/etc", "/nix/store", "/System"}

// standardDevices are the devices that every task may use.
var standardDevices = []string{"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"}

// deviceLinks are the names that programs expect in /dev besides.
var deviceLinks = [][2]string{
	{"/dev/fd", "/proc/self/fd"},
	{"/dev/stdin", "/proc/self/fd/0"},
	{"/dev/stdout", "/proc/self/fd/1"},
	{"/dev/stderr", "/proc/self/fd/2"},
	{"/dev/ptmx", "pts/ptmx"},
}

// kernelRoots are what every task may read of the kernel. Runtimes look up the
// number of processors in /sys.
var kernelRoots = []string{"/proc", "/sys/devices/system/cpu"}

// networkFiles configure name resolution. Where one is a symbolic link out of
// the system roots (resolv.conf to /run, mostly), its target is admitted.
var networkFiles = []string{"/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/gai.conf", "/etc/host.conf"}

// Private places of a task.
const (
	privateTmp = "/tmp"
	privateShm = "/dev/shm"
	// messageQueues is where the kernel's rules find POSIX message queues: mq_open(3)
	// opens them without a path, but in the file system that is mounted here.
	messageQueues = "/dev/mqueue"
	terminals     = "/dev/pts"
	ttyDevice     = "/dev/tty"
)

// kernelMasks are what /proc shows that is no process's own.
var kernelMasks = []string{
	"/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/key-users", "/proc/keys", "/proc/kmsg", "/proc/kpagecgroup",
	"/proc/kpagecount", "/proc/kpageflags", "/proc/latency_stats", "/proc/sched_debug", "/proc/scsi",
	"/proc/sysrq-trigger", "/proc/timer_list",
}

// kernelSettings are what user 0 could change the kernel by. Where Landlock
// applies, nothing in /proc can be written.
var kernelSettings = []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys"}

// layout is what a task finds, besides the roots of its policy.
type layout struct {
	dirs    *Dirs
	policy  policy.Base
	cgroups []string
	volumes []volume
	devices []device
	places  []place // that are protected from the task
	aliases []alias // of these
	// overlayWorks says why a directory cannot be shown as an overlay, nil if it can.
	overlayWorks func(dir string) error
	modes        modes
	dns          string // a resolv.conf of its own
	hosts        string // a hosts file of its own
	// private are the private, writable places beside /tmp and /dev/shm.
	private []string
	// accounts are the passwd and group of the task's own, by path.
	accounts map[string]string
	notes    []string // for the task's user
	// links lead out of the system roots to what every program reads.
	links []policy.Link
}

// makeLayout looks up what there is of it on this host.
func makeLayout(dirs *Dirs, system []string, cgroups []string, volumes []volume, devices []device, places []place) *layout {
	w := &layout{
		dirs:    dirs,
		cgroups: cgroups,
		volumes: volumes,
		places:  places,

		overlayWorks: executor.OverlayWorks,
	}
	for _, path := range standardDevices {
		w.devices = append(w.devices, device{host: path, Device: policy.Device{Path: path, Read: true, Write: true}})
	}
	// A device that is named has its rights, not those that every task has on it.
	for _, d := range devices {
		w.devices = append(slices.DeleteFunc(w.devices, func(other device) bool { return other.Path == d.Path }), d)
	}
	w.policy = policy.Base{
		System:    realPaths(system),
		Scratch:   []string{tmpPlace(), privateShm},
		Kernel:    slices.Concat(kernelRoots, w.cgroups),
		Listed:    []string{"/dev"},
		Terminals: []string{terminals, ttyDevice},
		Volumes:   policyVolumes(volumes),
	}
	if dirs.Shared {
		// Those of the host are not the task's own.
		w.policy.Scratch, w.policy.Terminals = []string{dirs.tmp()}, []string{ttyDevice}
	}
	w.addSettings(system)
	for _, d := range w.devices {
		w.policy.Devices = append(w.policy.Devices, d.Device)
	}
	for _, file := range networkFiles {
		if actual, err := policy.RealPath(file); err == nil && (dirs.HostFiles == "" || !slices.Contains(followed, file)) {
			w.addNetworkFile(actual)
		}
	}
	return w
}

func (w *layout) addNetworkFile(file string) {
	known := slices.Concat(w.policy.System, w.policy.Network)
	if !slices.ContainsFunc(known, func(root string) bool { return landlock.Beneath(root, file) }) {
		w.policy.Network = append(w.policy.Network, file)
	}
}

// setDNS gives the task a resolv.conf of its own.
func (w *layout) setDNS(content string) {
	if w.dns = content; content != "" {
		w.addNetworkFile(dnsTarget())
	}
	if len(w.followed(true)) > 0 {
		w.policy.Network = append(w.policy.Network, hostFilesPlace)
	}
}

// realPaths resolves those that exist.
func realPaths(paths []string) []string {
	var found []string
	for _, path := range paths {
		if p, err := policy.RealPath(path); err == nil && !slices.Contains(found, p) {
			found = append(found, p)
		}
	}
	return found
}

// baseMounts are what every task with a root of its own has: the system's
// programs, and private versions of what is not to be shared.
func (w *layout) baseMounts(landlocked, network bool) []placed {
	system := bindAll(w.policy.System, true)
	for i := range system {
		system[i] = w.layered(system[i], network)
	}
	system = append(system, w.ownFiles(system, network)...)
	mounts := slices.Concat(topLevel(landlocked), system, w.settingsLinks(), kernelFilesOf(bindAll(w.cgroups, true)), deviceMounts(w.devices))
	add := func(m executor.Mount) { mounts = append(mounts, placed{Mount: m}) }

	add(executor.Mount{Type: executor.Tmpfs, Target: "/dev", ReadOnly: true, Devices: true, NoExec: true})
	add(executor.Mount{Type: executor.Device, Source: ttyDevice, Target: ttyDevice})
	add(executor.Mount{Type: executor.Devpts, Target: terminals})
	for _, link := range deviceLinks {
		mounts = append(mounts, symlink(link[0], link[1]))
	}
	if w.modes.hostIPC {
		mounts = append(mounts, shown(privateShm, false))
	} else {
		add(executor.Mount{Type: executor.Tmpfs, Target: privateShm})
		add(executor.Mount{Type: executor.Mqueue, Target: messageQueues, Optional: true})
	}
	mounts = append(mounts, w.procMount())
	for _, root := range kernelRoots {
		if root != "/proc" && exists(root) {
			mounts = append(mounts, shown(root, true))
		}
	}
	if !landlocked {
		for _, path := range kernelSettings {
			m := shown(path, true)
			m.guard, m.Optional, m.KernelFiles = true, true, true
			mounts = append(mounts, m)
		}
	}
	for _, path := range kernelMasks {
		mounts = append(mounts, placed{guard: true, Mount: executor.Mount{Type: executor.Mask, Target: path, Optional: true}})
	}
	return mounts
}

// kernelFilesOf marks mounts as those of kernel files that a task is to have.
func kernelFilesOf(mounts []placed) []placed {
	for i := range mounts {
		mounts[i].KernelFiles = true
	}
	return mounts
}

func (w *layout) procMount() placed {
	// Modes and times of what is no process's own are of all /proc there are, and no right of
	// Landlock's is about them.
	readOnly := !w.modes.unrestricted
	if w.modes.hostPID {
		return kernelFilesOf([]placed{shown("/proc", readOnly)})[0]
	}
	return placed{Mount: executor.Mount{Type: executor.Proc, Target: "/proc", ReadOnly: readOnly}}
}

// topLevel are empty directories in the place of those of the host, so that
// what is denied there is denied as such, and the host's links. Without
// Landlock the directories could be listed: then what is denied is not there.
func topLevel(landlocked bool) []placed {
	entries, err := os.ReadDir("/")
	if err != nil {
		return nil
	}
	var mounts []placed
	for _, entry := range entries {
		path := "/" + entry.Name()
		switch entry.Type() {
		case fs.ModeDir:
			if landlocked {
				mounts = append(mounts, placed{Mount: executor.Mount{Type: executor.Dir, Target: path}})
			}
		case fs.ModeSymlink:
			if target, err := os.Readlink(path); err == nil {
				mounts = append(mounts, symlink(path, target))
			}
		}
	}
	return mounts
}

// MakeTmp makes the directory that a task sees as /tmp, if an earlier run of
// the task has removed it.
func MakeTmp(taskDir string) error {
	root, err := os.OpenRoot(taskDir)
	if err != nil {
		return err
	}
	defer root.Close()
	err = root.Mkdir("tmp", 0o777)
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	if err == nil {
		err = root.Chmod("tmp", 0o777|os.ModeSticky)
	}
	if err != nil {
		return fmt.Errorf("making the task's tmp directory: %w", err)
	}
	return nil
}
