// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package executor

import (
	"errors"
	"fmt"
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
	// parent is the directory that the last target lies in, notOpen before there is
	// one. No mount has covered it since, and the next target often lies there, too.
	parent     int
	parentPath string
	// maskedFile is the first mount that covers a file, notOpen before there is one.
	maskedFile int
	// maskedDir is the first mount that covers a directory, notOpen before there
	// is one.
	maskedDir int
}

// makeView makes the mounts, and makes the view the root of this process.
// inherited are the sources of the mounts if this process was started from the
// spawner, nil if they are to be opened here.
func makeView(w Isolation, inherited *sources) (err error) {
	// From here on, nothing that is mounted here shows on the host.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("making mounts slaves of the host's: %w", err)
	}
	from := inherited
	if from == nil {
		if from, err = openSources(w.Mounts, nil); err != nil {
			return err
		}
	}
	v := &view{private: w.PrivateRoot, user: w.UserNamespace, parent: notOpen, maskedFile: notOpen, maskedDir: notOpen}
	if err := v.openRoot(contents(w.Mounts)); err != nil {
		return err
	}
	defer v.close()
	// A root of its own has no other mounts than these. On the host's, theirs
	// go on to show.
	for i := range w.Mounts {
		if err := v.mount(&w.Mounts[i], from.Mounts[i]); err != nil {
			return fmt.Errorf("mounting %s on %s: %w", w.Mounts[i].Type, w.Mounts[i].Target, err)
		}
	}
	return v.enter(w.Mounts, inherited != nil)
}

func (v *view) close() {
	closeAll(v.root, v.parent, v.maskedFile, v.maskedDir)
}

// stage is where a private root is mounted until it becomes the root. Any
// directory that every system has would do: it is covered in this mount
// namespace only, and for a moment.
const stage = "/tmp"

// contents is the size in bytes of what a private root holds of files, and of its
// own directories and links with much to spare.
func contents(mounts []Mount) int {
	const page, others = 4 << 10, 1 << 20
	size := others
	add := func(content string) { size += len(content)/page*page + page }
	for i := range mounts {
		add(mounts[i].Content)
		for j := range mounts[i].Layers {
			add(mounts[i].Layers[j].Content)
		}
	}
	return size
}

func (v *view) openRoot(size int) (err error) {
	place := "/"
	if v.private {
		place = stage
		if err := unix.Mount("tmpfs", stage, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, fmt.Sprintf("mode=755,size=%d", size)); err != nil {
			return fmt.Errorf("mounting a private root: %w", err)
		}
	}
	v.root, err = unix.Open(place, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("opening %s: %w", place, err)
	}
	return nil
}

// enter makes a private root the root, and lets go of all else that is mounted.
func (v *view) enter(mounts []Mount, fromSpawner bool) error {
	if !v.private {
		return nil
	}
	if err := unix.Fchdir(v.root); err != nil {
		return fmt.Errorf("entering the private root: %w", err)
	}
	leave := leaveHost
	if fromSpawner {
		leave = leaveSpawner
	}
	if err := leave(); err != nil {
		return err
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

// leaveHost makes the mount at the working directory the root of a process that
// was started among the host's mounts, and lets go of them.
func leaveHost() error {
	// With both arguments the same, the old root ends up on top of the new one,
	// pivot_root(2).
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot_root(2): %w%s", err, hintPivot(err))
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmounting the old root: %w", err)
	}
	return nil
}

func hintPivot(err error) string {
	if errors.Is(err, unix.EINVAL) {
		return ": is the host's root file system an initramfs? It must be a mounted one"
	}
	return ""
}

func (v *view) mount(m *Mount, s source) (err error) {
	if s.Tree == skipped {
		return nil
	}
	defer closeAll(s.Tree)
	switch m.Type {
	case Symlink:
		dir, name, err := v.openParent(m)
		if err != nil {
			return err
		}
		return unix.Symlinkat(m.Source, dir, name)
	case Device:
		return v.device(m, s)
	case Dir:
		return v.makeDir(m)
	case Overlay:
		return v.overlay(m, s.Tree)
	case File:
		if s.Tree, err = v.makeFile(m.Content); err != nil {
			return err
		}
		defer closeAll(s.Tree)
	}
	target, err := v.openTarget(m, s.Tree)
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
	return v.mountOn(target, m, s.Tree)
}

// MaxTerminals is how many pseudoterminals a task has. Their number is one for the
// machine (kernel.pty.max, 4096 by default, of which 1024 are the host's own): what
// is left takes 48 tasks to use up.
const MaxTerminals = 64

func (v *view) mountOn(target int, m *Mount, tree int) error {
	switch m.Type {
	case Bind:
		return attach(tree, target, m.flags(), m.Propagate)
	case File:
		return attach(tree, target, m.flags()|unix.MS_RDONLY|unix.MS_NOEXEC, false)
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
		options := fmt.Sprintf("newinstance,ptmxmode=0666,mode=0620,max=%d", MaxTerminals)
		if !v.user {
			options += fmt.Sprintf(",gid=%d", tty)
		}
		return unix.Mount("devpts", fdPath(target), "devpts", unix.MS_NOSUID|unix.MS_NOEXEC, options)
	case Mqueue:
		err := unix.Mount("mqueue", fdPath(target), "mqueue", m.flags()|unix.MS_NODEV|unix.MS_NOEXEC, "")
		if m.Optional && errors.Is(err, unix.ENODEV) {
			return nil // the kernel has none
		}
		return err
	case Mask:
		return v.mask(m, target)
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

// mask covers a file by an empty one and a directory by an empty one. The first
// mount of either is shown again for all others: a bind has the flags of what it
// shows.
func (v *view) mask(m *Mount, target int) error {
	dir, err := isDir(target)
	switch {
	case err != nil:
		return err
	case dir && v.maskedDir != notOpen:
		return unix.Mount(fdPath(v.maskedDir), fdPath(target), "", unix.MS_BIND, "")
	case dir:
		const flags = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC | unix.MS_RDONLY
		if err := unix.Mount("tmpfs", fdPath(target), "tmpfs", flags, "mode=555,size=4k"); err != nil {
			return err
		}
		v.maskedDir, err = v.openTarget(m, notOpen)
		return err
	case v.maskedFile != notOpen:
		return unix.Mount(fdPath(v.maskedFile), fdPath(target), "", unix.MS_BIND, "")
	}
	tree, err := v.makeFile("")
	if err != nil {
		return err
	}
	defer unix.Close(tree)
	if err := attach(tree, target, unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC|unix.MS_RDONLY, false); err != nil {
		return err
	}
	v.maskedFile, err = v.openTarget(m, notOpen)
	return err
}

func (v *view) makeDir(m *Mount) error {
	parent, name, err := v.openParent(m)
	if err != nil {
		return err
	}
	if err := unix.Mkdirat(parent, name, 0o755); err != nil && !errors.Is(err, unix.EEXIST) {
		return err
	}
	return nil
}

// filesDir is where the files of a private root are before they are mounted.
const filesDir = ".files"

// makeFile makes a file in the private root, and returns it as a source.
func (v *view) makeFile(content string) (int, error) {
	if !v.private {
		return notOpen, errors.New("there is no private root to make it in")
	}
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

// device makes a node for the task alone: a private /dev is where no other
// user's processes are. Where making nodes is not allowed, as in a container,
// the host's node shows instead.
func (v *view) device(m *Mount, s source) error {
	dir, name, err := v.openParent(m)
	if err != nil {
		return err
	}
	mode := uint32(0o666)
	if m.ReadOnly {
		mode = 0o444
	}
	err = unix.Mknodat(dir, name, s.Mode&unix.S_IFMT|mode, int(s.Rdev))
	if errors.Is(err, unix.EPERM) {
		return v.bindDevice(m, s)
	}
	if err != nil {
		return fmt.Errorf("mknod(2): %w", err)
	}
	return nil
}

func (v *view) bindDevice(m *Mount, s source) (err error) {
	if s.Tree == notOpen {
		if s, err = openSource(&Mount{Type: Bind, Source: m.Source}, nil); err != nil {
			return fmt.Errorf("device %s: %w", m.Source, err)
		}
		defer closeAll(s.Tree)
	}
	target, err := v.openTarget(m, s.Tree)
	if err != nil {
		return err
	}
	defer unix.Close(target)
	return attach(s.Tree, target, unix.MS_NOSUID|unix.MS_NOEXEC, false)
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
// made: of the kind of the tree that is to be mounted there.
func (v *view) openTarget(m *Mount, tree int) (int, error) {
	if m.Target == "/" {
		return v.open("/")
	}
	parent, name, err := v.openParent(m)
	if err != nil {
		return notOpen, err
	}
	if m.Create {
		if err := makeTarget(parent, name, tree); err != nil && !errors.Is(err, unix.EEXIST) {
			return notOpen, fmt.Errorf("making it: %w", err)
		}
	}
	return openAt(parent, name)
}

func makeTarget(parent int, name string, tree int) error {
	if tree >= 0 {
		dir, err := isDir(tree)
		if err != nil {
			return err
		}
		if !dir {
			return unix.Mknodat(parent, name, unix.S_IFREG|0o644, 0)
		}
	}
	return unix.Mkdirat(parent, name, 0o755)
}

// openParent opens the directory above a target, and keeps it. If the target is
// to be created, and it is missing, it is made with those above it.
func (v *view) openParent(m *Mount) (dir int, name string, err error) {
	slash := strings.LastIndexByte(m.Target, '/')
	above, name := "/"+strings.TrimPrefix(m.Target[:max(slash, 0)], "/"), m.Target[slash+1:]
	if v.parent != notOpen && v.parentPath == above {
		return v.parent, name, nil
	}
	fd, err := v.open(above)
	if m.Create && errors.Is(err, unix.ENOENT) {
		fd, err = v.makeDirs(above)
	}
	if err != nil {
		return notOpen, "", fmt.Errorf("opening %s: %w", above, err)
	}
	closeAll(v.parent)
	v.parent, v.parentPath = fd, above
	return fd, name, nil
}

// open opens a path of the view.
func (v *view) open(name string) (int, error) {
	if name == "/" {
		return openAt(v.root, ".")
	}
	return openAt(v.root, strings.TrimPrefix(name, "/"))
}

// makeDirs makes what is missing of a directory of the view, and opens it.
func (v *view) makeDirs(name string) (int, error) {
	at, err := v.open("/")
	if err != nil {
		return notOpen, err
	}
	names := strings.Split(strings.TrimPrefix(name, "/"), "/")
	for i, name := range names {
		if err := unix.Mkdirat(at, name, 0o755); err != nil && !errors.Is(err, unix.EEXIST) && !errors.Is(err, unix.EROFS) {
			unix.Close(at)
			return notOpen, fmt.Errorf("making /%s: %w", path.Join(names[:i+1]...), err)
		}
		next, err := openAt(at, name)
		unix.Close(at)
		if err != nil {
			return notOpen, fmt.Errorf("opening /%s: %w", path.Join(names[:i+1]...), err)
		}
		at = next
	}
	return at, nil
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
