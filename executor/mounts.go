// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package executor

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// view makes a task's view of the file system, in the mount namespace that the
// supervisor was started in.
//
// Sources and targets are opened without following symbolic links, and used by
// descriptor: what a task renames meanwhile cannot redirect a mount.
type view struct {
	private bool
	user    bool // in a user namespace with one user and one group
	root    int  // a descriptor of the root that mounts are made in
	files   int  // how many were made
}

// makeView makes the mounts, and makes the view the root of this process.
func makeView(w World) error {
	// From here on, nothing that is mounted here shows on the host.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("making mounts slaves of the host's: %w", err)
	}
	// All sources first: the list may cover the source of a later one.
	sources := make([]int, len(w.Mounts))
	for i := range w.Mounts {
		fd, err := openSource(&w.Mounts[i])
		if err != nil {
			return fmt.Errorf("mount source %s: %w", w.Mounts[i].Source, err)
		}
		sources[i] = fd
	}
	v := &view{private: w.PrivateRoot, user: w.UserNamespace}
	if err := v.openRoot(); err != nil {
		return err
	}
	// A root of its own has no other mounts than these. On the host's, theirs
	// go on to show.
	for i := range w.Mounts {
		if err := v.mount(&w.Mounts[i], sources[i]); err != nil {
			return fmt.Errorf("mounting %s on %s: %w", w.Mounts[i].Type, w.Mounts[i].Target, err)
		}
	}
	return v.enter(w.Mounts)
}

// stage is where a private root is mounted until it becomes the root. Any
// directory that every system has would do: it is covered in this mount
// namespace only, and for a moment.
const stage = "/tmp"

func (v *view) openRoot() (err error) {
	place := "/"
	if v.private {
		place = stage
		if err := unix.Mount("tmpfs", stage, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=755,size=1m"); err != nil {
			return fmt.Errorf("mounting a private root: %w", err)
		}
	}
	v.root, err = unix.Open(place, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("opening %s: %w", place, err)
	}
	return nil
}

// enter makes a private root the root, and lets go of the host's: its mounts
// are not held by this namespace any more.
func (v *view) enter(mounts []Mount) error {
	defer unix.Close(v.root)
	if !v.private {
		return nil
	}
	if err := unix.Fchdir(v.root); err != nil {
		return fmt.Errorf("entering the private root: %w", err)
	}
	// With both arguments the same, the old root ends up on top of the new one,
	// pivot_root(2).
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot_root(2): %w%s", err, hintPivot(err))
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmounting the old root: %w", err)
	}
	if err := unix.Chdir("/"); err != nil {
		return err
	}
	// What had to be writable to be filled.
	for i := range mounts {
		if m := &mounts[i]; m.Type == Tmpfs && m.ReadOnly {
			if err := unix.Mount("", m.Target, "", unix.MS_REMOUNT|unix.MS_BIND|m.flags(), ""); err != nil {
				return fmt.Errorf("making %s read-only: %w", m.Target, err)
			}
		}
	}
	const rootFlags = unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	if err := unix.Mount("", "/", "", unix.MS_REMOUNT|unix.MS_BIND|rootFlags, ""); err != nil {
		return fmt.Errorf("making the root read-only: %w", err)
	}
	return nil
}

func hintPivot(err error) string {
	if errors.Is(err, unix.EINVAL) {
		return ": is the host's root file system an initramfs? It must be a mounted one"
	}
	return ""
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
	return cloneTree(fd)
}

func cloneTree(fd int) (int, error) {
	tree, err := unix.OpenTree(fd, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE|unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return 0, fmt.Errorf("open_tree(2): %w", err)
	}
	return tree, nil
}

func (v *view) mount(m *Mount, source int) error {
	if source == skipped {
		return nil
	}
	if source >= 0 {
		defer unix.Close(source)
	}
	switch m.Type {
	case Symlink:
		return v.symlink(m)
	case Device:
		return v.device(m)
	case File:
		var err error
		if source, err = v.makeFile(m.Content); err != nil {
			return err
		}
		defer unix.Close(source)
	}
	target, err := v.openTarget(m, source)
	if errors.Is(err, unix.ENOENT) && m.Optional {
		return nil
	}
	if errors.Is(err, unix.ENOENT) && !m.Create {
		return fmt.Errorf("%w: it is made in a task's own places only: make it on the host", err)
	}
	if err != nil {
		return err
	}
	defer unix.Close(target)
	switch m.Type {
	case Bind:
		return attach(source, target, m.flags(), m.Propagate)
	case File:
		return attach(source, target, m.flags()|unix.MS_RDONLY|unix.MS_NOEXEC, false)
	case Dir:
		return nil
	case Tmpfs:
		mode := "mode=1777"
		if m.ReadOnly { // once it is filled
			mode = "mode=755,size=1m"
		}
		return unix.Mount("tmpfs", fdPath(target), "tmpfs", m.flags()&^unix.MS_RDONLY, mode)
	case Proc:
		// hidepid=2: processes of other users, the supervisor is one, are not shown.
		// gid is a group that sees them all the same: nobody's, it is root's otherwise.
		options := "hidepid=2"
		if !v.user {
			options += ",gid=4294967294"
		}
		return unix.Mount("proc", fdPath(target), "proc", m.flags()|unix.MS_NODEV|unix.MS_NOEXEC, options)
	case Devpts:
		const tty = 5 // the group of terminals, by convention
		options := "newinstance,ptmxmode=0666,mode=0620"
		if !v.user {
			options += fmt.Sprintf(",gid=%d", tty)
		}
		return unix.Mount("devpts", fdPath(target), "devpts", unix.MS_NOSUID|unix.MS_NOEXEC, options)
	case Mask:
		return mask(target)
	}
	return fmt.Errorf("unknown type %q", m.Type)
}

// attach mounts a detached tree with the given flags, besides those that its
// mounts have. The MOUNT_ATTR_* of these flags have the values of the MS_* ones.
func attach(tree, target int, flags uintptr, propagate bool) error {
	attr := unix.MountAttr{Attr_set: uint64(flags), Propagation: unix.MS_PRIVATE}
	if propagate {
		attr.Propagation = unix.MS_SLAVE
	}
	err := unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &attr)
	old := errors.Is(err, unix.ENOSYS)
	if err != nil && !old {
		return fmt.Errorf("mount_setattr(2): %w", err)
	}
	if err := unix.MoveMount(tree, "", target, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH); err != nil {
		return fmt.Errorf("move_mount(2): %w", err)
	}
	if old {
		return setFlags(tree, flags, uintptr(attr.Propagation))
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
	return attach(null, target, unix.MS_NOSUID|unix.MS_NOEXEC|unix.MS_RDONLY, false)
}

// filesDir is where the files of a private root are before they are mounted.
const filesDir = ".files"

// makeFile makes a file in the private root, and returns it as a source.
func (v *view) makeFile(content string) (int, error) {
	if err := unix.Mkdirat(v.root, filesDir, 0o755); err != nil && !errors.Is(err, unix.EEXIST) {
		return 0, fmt.Errorf("making /%s: %w", filesDir, err)
	}
	name := fmt.Sprintf("%s/%d", filesDir, v.files)
	v.files++
	fd, err := unix.Openat(v.root, name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return 0, fmt.Errorf("making /%s: %w", name, err)
	}
	defer unix.Close(fd)
	if _, err := unix.Write(fd, []byte(content)); err != nil {
		return 0, fmt.Errorf("writing /%s: %w", name, err)
	}
	return cloneTree(fd)
}

func (v *view) symlink(m *Mount) error {
	dir, name, err := v.openParent(m)
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	return unix.Symlinkat(m.Source, dir, name)
}

// device makes a node for the task alone: a private /dev is where no other
// user's processes are. Where making nodes is not allowed, as in a container,
// the host's node shows instead.
func (v *view) device(m *Mount) error {
	source, err := openPath(m.Source)
	if errors.Is(err, unix.ENOENT) && m.Optional {
		return nil
	}
	if err != nil {
		return fmt.Errorf("device %s: %w", m.Source, err)
	}
	defer unix.Close(source)
	var st unix.Stat_t
	if err := unix.Fstat(source, &st); err != nil {
		return fmt.Errorf("device %s: %w", m.Source, err)
	}
	kind := st.Mode & unix.S_IFMT
	if kind != unix.S_IFCHR && kind != unix.S_IFBLK {
		return fmt.Errorf("%s is not a device", m.Source)
	}
	dir, name, err := v.openParent(m)
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	mode := uint32(0o666)
	if m.ReadOnly {
		mode = 0o444
	}
	err = unix.Mknodat(dir, name, kind|mode, int(st.Rdev))
	if errors.Is(err, unix.EPERM) {
		return v.bindDevice(m, source)
	}
	if err != nil {
		return fmt.Errorf("mknod(2): %w", err)
	}
	return nil
}

func (v *view) bindDevice(m *Mount, source int) error {
	tree, err := cloneTree(source)
	if err != nil {
		return err
	}
	defer unix.Close(tree)
	target, err := v.openTarget(m, tree)
	if err != nil {
		return err
	}
	defer unix.Close(target)
	return attach(tree, target, unix.MS_NOSUID|unix.MS_NOEXEC, false)
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

// openTarget opens where to mount. If it is to be created, and missing, it is
// made: of the source's kind.
func (v *view) openTarget(m *Mount, source int) (int, error) {
	fd, err := v.open(m.Target)
	if !m.Create || !errors.Is(err, unix.ENOENT) {
		return fd, err
	}
	dir := true
	if source >= 0 {
		if dir, err = isDir(source); err != nil {
			return 0, err
		}
	}
	parent, name, err := v.openParent(m)
	if err != nil {
		return 0, err
	}
	defer unix.Close(parent)
	if dir {
		err = unix.Mkdirat(parent, name, 0o755)
	} else {
		err = unix.Mknodat(parent, name, unix.S_IFREG|0o644, 0)
	}
	if err != nil {
		return 0, fmt.Errorf("making it: %w", err)
	}
	return openAt(parent, name)
}

// open opens a path of the view.
func (v *view) open(target string) (int, error) {
	if target == "/" {
		return openAt(v.root, ".")
	}
	return openAt(v.root, strings.TrimPrefix(target, "/"))
}

// openParent opens the directory above a target. If the target is to be
// created, and it is missing, it is made with those above it.
func (v *view) openParent(m *Mount) (dir int, name string, err error) {
	at, err := openAt(v.root, ".")
	if err != nil {
		return 0, "", err
	}
	names := strings.Split(strings.Trim(m.Target, "/"), "/")
	for i, name := range names[:len(names)-1] {
		var err error
		if m.Create {
			err = unix.Mkdirat(at, name, 0o755)
		}
		if err != nil && !errors.Is(err, unix.EEXIST) && !errors.Is(err, unix.EROFS) {
			unix.Close(at)
			return 0, "", fmt.Errorf("making /%s: %w", path.Join(names[:i+1]...), err)
		}
		next, err := openAt(at, name)
		unix.Close(at)
		if err != nil {
			return 0, "", fmt.Errorf("opening /%s: %w", path.Join(names[:i+1]...), err)
		}
		at = next
	}
	return at, names[len(names)-1], nil
}

// openPath opens a real path of the host: a symbolic link on it is an error.
func openPath(name string) (int, error) { return openAt(unix.AT_FDCWD, name) }

func openAt(dir int, name string) (int, error) {
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_SYMLINKS}
	if dir != unix.AT_FDCWD {
		how.Resolve |= unix.RESOLVE_BENEATH // no ".." either
	}
	fd, err := unix.Openat2(dir, name, &how)
	if errors.Is(err, unix.ELOOP) {
		return fd, fmt.Errorf("%s: a symbolic link is on this path, expected the real path: it was changed since it was looked up", name)
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
