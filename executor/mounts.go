// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package executor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// makeMounts makes the task's view of the file system, in the mount namespace
// that the supervisor was started in.
//
// Sources and targets are opened without following symbolic links, and used by
// descriptor: what a task renames meanwhile cannot redirect a mount.
func makeMounts(mounts []Mount) error {
	// Nothing that is mounted here shows on the host, or the other way round.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("making mounts private: %w", err)
	}
	// All sources first: a mount of the list may cover the source of a later one.
	sources := make([]int, len(mounts))
	for i := range mounts {
		fd, err := openSource(&mounts[i])
		if err != nil {
			return fmt.Errorf("mount source %s: %w", mounts[i].Source, err)
		}
		sources[i] = fd
	}
	for i := range mounts {
		m := &mounts[i]
		if sources[i] == skipped {
			continue
		}
		err := m.make(sources[i])
		if errors.Is(err, unix.ENOENT) && m.Optional {
			continue
		}
		if err != nil {
			return fmt.Errorf("mounting %s on %s: %w", m.Type, m.Target, err)
		}
	}
	return nil
}

const (
	noSource = -1
	skipped  = -2
)

// openSource returns a detached copy of the mount tree at a bind's source.
func openSource(m *Mount) (int, error) {
	if m.Type != Bind {
		return noSource, nil
	}
	fd, err := openPath(m.Source)
	if errors.Is(err, unix.ENOENT) && m.Optional {
		return skipped, nil
	}
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	tree, err := unix.OpenTree(fd, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE|unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return 0, fmt.Errorf("open_tree(2): %w", err)
	}
	return tree, nil
}

func (m *Mount) make(source int) error {
	target, err := m.openTarget(source)
	if err != nil {
		return err
	}
	defer unix.Close(target)
	switch m.Type {
	case Bind:
		defer unix.Close(source)
		return attach(source, target, m.flags())
	case Tmpfs:
		return unix.Mount("tmpfs", fdPath(target), "tmpfs", m.flags(), "mode=1777")
	case Proc:
		// hidepid=2: processes of other users, the supervisor is one, are not shown.
		return unix.Mount("proc", fdPath(target), "proc", m.flags()|unix.MS_NODEV|unix.MS_NOEXEC, "hidepid=2")
	case Mask:
		return mask(target)
	}
	return fmt.Errorf("unknown type %q", m.Type)
}

// attach mounts a detached tree with the given flags. Kernels without
// mount_setattr(2), before Linux 5.12, set them for its topmost mount only. The
// MOUNT_ATTR_* of these flags have the values of the MS_* ones.
func attach(tree, target int, flags uintptr) error {
	err := unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &unix.MountAttr{Attr_set: uint64(flags)})
	old := errors.Is(err, unix.ENOSYS)
	if err != nil && !old {
		return fmt.Errorf("mount_setattr(2): %w", err)
	}
	if err := unix.MoveMount(tree, "", target, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH); err != nil {
		return fmt.Errorf("move_mount(2): %w", err)
	}
	if old {
		if err := unix.Mount("", fdPath(tree), "", unix.MS_REMOUNT|unix.MS_BIND|flags, ""); err != nil {
			return fmt.Errorf("setting mount flags: %w", err)
		}
	}
	return nil
}

// mask covers a file by /dev/null and a directory by an empty one.
func mask(target int) error {
	dir, err := isDir(target)
	if err != nil {
		return err
	}
	if dir {
		const flags = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC | unix.MS_RDONLY
		return unix.Mount("tmpfs", fdPath(target), "tmpfs", flags, "mode=555,size=4k")
	}
	null, err := openSource(&Mount{Type: Bind, Source: os.DevNull})
	if err != nil {
		return err
	}
	defer unix.Close(null)
	return attach(null, target, unix.MS_NOSUID|unix.MS_NOEXEC|unix.MS_RDONLY)
}

func (m *Mount) flags() uintptr {
	var flags uintptr = unix.MS_NOSUID
	if !m.Devices {
		flags |= unix.MS_NODEV
	}
	if m.NoExec {
		flags |= unix.MS_NOEXEC
	}
	if m.ReadOnly {
		flags |= unix.MS_RDONLY
	}
	return flags
}

// openTarget opens where to mount, and makes it first if it is to be created:
// of the source's kind.
func (m *Mount) openTarget(source int) (int, error) {
	fd, err := openPath(m.Target)
	if !errors.Is(err, unix.ENOENT) || !m.Create {
		return fd, err
	}
	dir := true
	if source >= 0 {
		if dir, err = isDir(source); err != nil {
			return 0, err
		}
	}
	if err := create(m.Target, dir); err != nil {
		return 0, err
	}
	return openPath(m.Target)
}

// create makes a directory or an empty file, and the directories above it.
func create(path string, dir bool) error {
	at, err := openPath("/")
	if err != nil {
		return err
	}
	names := strings.Split(strings.Trim(path, "/"), "/")
	for i, name := range names {
		if i == len(names)-1 && !dir {
			fd, err := unix.Openat(at, name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o644)
			unix.Close(at)
			if err != nil {
				return fmt.Errorf("creating %s: %w", path, err)
			}
			return unix.Close(fd)
		}
		err := unix.Mkdirat(at, name, 0o755)
		if err != nil && !errors.Is(err, unix.EEXIST) {
			unix.Close(at)
			return fmt.Errorf("creating /%s: %w", filepath.Join(names[:i+1]...), err)
		}
		next, err := openAt(at, name)
		unix.Close(at)
		if err != nil {
			return fmt.Errorf("opening /%s: %w", filepath.Join(names[:i+1]...), err)
		}
		at = next
	}
	return unix.Close(at)
}

// openPath opens a real path: a symbolic link on it is an error.
func openPath(path string) (int, error) { return openAt(unix.AT_FDCWD, path) }

func openAt(dir int, path string) (int, error) {
	fd, err := unix.Openat2(dir, path, &unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_NO_SYMLINKS,
	})
	if errors.Is(err, unix.ELOOP) {
		return fd, fmt.Errorf("%s: a symbolic link is on this path, expected the real path: it was changed since it was looked up", path)
	}
	return fd, err
}

func isDir(fd int) (bool, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return false, fmt.Errorf("fstat: %w", err)
	}
	return st.Mode&unix.S_IFMT == unix.S_IFDIR, nil
}

// fdPath names an open file for system calls that take a path only.
func fdPath(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }
