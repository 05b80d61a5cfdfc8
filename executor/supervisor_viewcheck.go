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
	return coverKernelFiles(w)
}

func (c *Closed) check() error {
	if c.ReadOnly {
		switch err := unix.Access(c.Path, unix.W_OK); {
		case errors.Is(err, unix.EROFS), errors.Is(err, unix.ENOENT):
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

// KernelFiles are file systems by which a task could look at the host's
// processes, or change their limits.
var KernelFiles = []string{"proc", "cgroup", "cgroup2"}

// coverKernelFiles covers what came along with a directory of the host: another
// /proc, or a hierarchy of cgroups. The kernel's list of what is mounted here
// says so, whatever it is mounted as.
func coverKernelFiles(w *Isolation) error {
	list, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return fmt.Errorf("looking at the view: %w", err)
	}
	for _, found := range kernelMounts(list) {
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

// kernelMounts are the mount points of KernelFiles in a list as in
// /proc/self/mountinfo, proc_pid_mountinfo(5).
func kernelMounts(list []byte) (points []string) {
	for line := range bytes.Lines(list) {
		mount, fs, ok := strings.Cut(string(line), " - ")
		fields := strings.Fields(mount)
		if !ok || len(fields) < 5 {
			continue
		}
		if kind, _, _ := strings.Cut(fs, " "); slices.Contains(KernelFiles, kind) {
			points = append(points, unescape(fields[4]))
		}
	}
	return points
}
