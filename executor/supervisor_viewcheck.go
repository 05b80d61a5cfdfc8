// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package executor

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/landlock"
)

// Closed is a place that the view must keep from the task.
type Closed struct {
	Path string `json:"path"` // as the task sees it; it need not exist
	// ReadOnly: it can be read, and not be written. Otherwise nothing is there.
	ReadOnly bool `json:"read_only,omitempty"`
	// Holds are real paths in it that are the task's own.
	Holds []string `json:"holds,omitempty"`
}

// checkView tries what the view must not admit, as root and without Landlock, in
// the view that the task will have. A mount that is not where it should be shows
// here, whatever the reason.
func checkView(w *Isolation) error {
	for i := range w.Closed {
		if err := w.Closed[i].check(); err != nil {
			return fmt.Errorf("the view of the file system does not protect %q: %w", w.Closed[i].Path, err)
		}
	}
	list, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return fmt.Errorf("looking at the view: %w", err)
	}
	if err := coverKernelFiles(w, list); err != nil {
		return err
	}
	return keepKernelSettings(list)
}

func (c *Closed) check() error {
	if c.ReadOnly {
		switch err := unix.Access(c.Path, unix.W_OK); {
		case errors.Is(err, unix.EROFS), errors.Is(err, unix.ENOENT):
			return nil
		case err == nil && c.special():
			return nil
		case err == nil:
			return errors.New("it can be written")
		default:
			return fmt.Errorf("access(2): %w", err)
		}
	}
	fd, err := unix.Open(c.Path, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ELOOP):
		return nil
	case err != nil:
		return fmt.Errorf("opening it: %w", err)
	}
	f := os.NewFile(uintptr(fd), c.Path)
	defer f.Close()
	if dir, err := isDir(fd); err != nil {
		return err
	} else if !dir {
		n, err := f.Read(make([]byte, 1))
		if n > 0 || err == nil {
			return errors.New("it is a file that can be read")
		}
		return nil
	}
	for {
		names, err := f.Readdirnames(namesAtOnce)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("listing it: %w", err)
		}
		for _, name := range names {
			at := c.Path + "/" + name
			if !slices.ContainsFunc(c.Holds, func(own string) bool { return landlock.Beneath(at, own) }) {
				return fmt.Errorf("%q can be seen in it", name)
			}
		}
	}
}

// namesAtOnce is how many names of a directory are read at once: it should have few.
const namesAtOnce = 64

// special reports whether it is a socket, a FIFO or a device that is shown by a read-only
// mount. These are no part of the file system that they lie in, and access(2) says that
// they can be written; what cannot be changed is that they are there, their modes and times.
func (c *Closed) special() bool {
	var st unix.Stat_t
	var fs unix.Statfs_t
	if unix.Stat(c.Path, &st) != nil || unix.Statfs(c.Path, &fs) != nil {
		return false
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFSOCK, unix.S_IFIFO, unix.S_IFCHR, unix.S_IFBLK:
		return fs.Flags&unix.ST_RDONLY != 0
	}
	return false
}

// KernelFiles are file systems by which a task could look at the host's
// processes, or change their limits.
var KernelFiles = []string{"proc", "cgroup", "cgroup2"}

// coverKernelFiles covers what came along with a directory of the host: another
// /proc, or a hierarchy of cgroups. The kernel's list of what is mounted here
// says so, whatever it is mounted as.
func coverKernelFiles(w *Isolation, list []byte) error {
	for _, mounted := range kernelMounts(list, KernelFiles) {
		found := mounted.point
		if !slices.ContainsFunc(w.Mounts, func(m Mount) bool { return m.Target == found && m.ownKernelFiles() }) {
			const flags = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC | unix.MS_RDONLY
			if err := unix.Mount("tmpfs", found, "tmpfs", flags, "mode=555,size=4k"); err != nil {
				return fmt.Errorf("covering %q, which shows the kernel's view of the host: %w", found, err)
			}
		}
	}
	return nil
}

// ownKernelFiles reports whether a mount shows kernel files that the task is to
// have: its own /proc or the one that it shares with the host, and what is shown
// at its own place, as its cgroups are.
func (m *Mount) ownKernelFiles() bool {
	return m.Type == Proc || m.Type == Bind && m.KernelFiles
}

// KernelSettings are file systems by which who writes to them configures the kernel or the
// machine: root can, whatever capabilities it lacks. A task can read what it is shown of
// them.
var KernelSettings = []string{
	"sysfs", "debugfs", "tracefs", "securityfs", "configfs", "bpf", "pstore", "efivarfs", "selinuxfs", "smackfs", "binfmt_misc", "fusectl",
	"resctrl", "nfsd", "rpc_pipefs", "dlm_configfs", "ocfs2_dlmfs", "xenfs", "functionfs", "gadgetfs",
}

// keepKernelSettings makes read-only what came along of KernelSettings with a directory of
// the host, whatever it is mounted as.
func keepKernelSettings(list []byte) error {
	for _, found := range kernelMounts(list, KernelSettings) {
		if found.readOnly {
			continue
		}
		if err := found.makeReadOnly(); err != nil {
			return fmt.Errorf("making %q read-only, by which the machine is configured: %w", found.point, err)
		}
	}
	return nil
}

// kernelMount is a mount of the kernel's own file systems.
type kernelMount struct {
	point    string
	device   string // MAJOR:MINOR
	readOnly bool
}

// makeReadOnly makes it read-only, unless something else is mounted above it.
func (m *kernelMount) makeReadOnly() error {
	fd, err := unix.Open(m.point, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return nil // what is above has no such name
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if strconv.Itoa(int(unix.Major(st.Dev)))+":"+strconv.Itoa(int(unix.Minor(st.Dev))) != m.device {
		return nil
	}
	return remount(fd, unix.MS_RDONLY)
}

// kernelMounts are the mounts of some types in a list as in /proc/self/mountinfo,
// proc_pid_mountinfo(5).
func kernelMounts(list []byte, types []string) (found []kernelMount) {
	for line := range bytes.Lines(list) {
		mount, fs, ok := strings.Cut(string(line), " - ")
		fields := strings.Fields(mount)
		if !ok || len(fields) < 6 {
			continue
		}
		if kind, _, _ := strings.Cut(fs, " "); slices.Contains(types, kind) {
			found = append(found, kernelMount{unescape(fields[4]), fields[2], slices.Contains(strings.Split(fields[5], ","), "ro")})
		}
	}
	return found
}
