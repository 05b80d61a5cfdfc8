// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package executor

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/landlock"
)

// Layer is what lies above a directory of the host in an overlay.
type Layer struct {
	// Path is relative to the directory, without "." and "..".
	Path string `json:"path"`
	// Kind is what is there.
	Kind LayerKind `json:"kind"`
	// Content of a file, or the target of a symbolic link.
	Content string `json:"content,omitempty"`
}

// LayerKind is the kind of a [Layer].
type LayerKind string

// The kinds of layers.
const (
	LayerHide LayerKind = "hide" // nothing, whatever the host has or gets there
	LayerDir  LayerKind = "dir"  // a directory, with what the host has in it
	LayerFile LayerKind = "file" // a file that holds Content
	LayerLink LayerKind = "link" // a symbolic link to Content
)

// layersDir is where the layers of a private root are.
const layersDir = ".layers"

// overlay shows the tree of a directory with a layer above it. What is mounted
// in the directory shows as well.
//
// Unlike a mount on a name in the directory itself, the layer stays when somebody
// renames, replaces or makes that name on the host: the names are the overlay's.
func (v *view) overlay(m *Mount, tree int) error {
	target, err := v.openTarget(m, tree)
	if err != nil {
		return err
	}
	defer unix.Close(target)
	if err := attach(tree, target, m.flags(), false); err != nil {
		return err
	}
	lower, err := v.open(m.Target)
	if err != nil {
		return err
	}
	defer unix.Close(lower)
	mounted, err := v.mountedIn(lower)
	if err != nil {
		return err
	}
	defer func() {
		for _, s := range mounted {
			unix.Close(s.tree)
		}
	}()
	upper, err := v.makeLayer(m.Layers, lower)
	if err != nil {
		return err
	}
	defer unix.Close(upper)
	if err := mountOverlay(upper, lower, m.flags()|unix.MS_RDONLY); err != nil {
		return err
	}
	// What was opened before is below it.
	closeAll(v.parent)
	v.parent, v.parentPath = notOpen, ""
	for _, s := range mounted {
		if slices.ContainsFunc(m.Layers, func(l Layer) bool { return l.Kind != LayerDir && landlock.Beneath(l.Path, s.name) }) {
			continue // hidden, or something of the layer's own is there
		}
		at, err := v.open(path.Join(m.Target, s.name))
		if errors.Is(err, unix.ENOENT) {
			continue
		}
		if err == nil {
			err = attach(s.tree, at, m.flags(), false)
			unix.Close(at)
		}
		if err != nil {
			return fmt.Errorf("what is mounted on %q: %w", path.Join(m.Target, s.name), err)
		}
	}
	return nil
}

// mountOverlay mounts an overlay of two directories on the lower one.
func mountOverlay(upper, lower int, flags uintptr) error {
	err := unix.Mount("overlay", fdPath(lower), "overlay", flags, "lowerdir="+fdPath(upper)+":"+fdPath(lower))
	if err != nil {
		return fmt.Errorf("mounting an overlay: %w", err)
	}
	return nil
}

type submount struct {
	name string // relative to the directory
	tree int
}

// mountedIn are copies of what is mounted in a directory.
func (v *view) mountedIn(dir int) ([]submount, error) {
	base, err := os.Readlink(fdPath(dir))
	if err != nil {
		return nil, err
	}
	list, err := os.ReadFile("/proc/thread-self/mountinfo")
	if err != nil {
		return nil, err
	}
	var found []submount
	for _, point := range mountPoints(string(list), base) {
		name := strings.TrimPrefix(strings.TrimPrefix(point, base), "/")
		if name == "" {
			continue
		}
		fd, err := openAt(dir, name)
		if err != nil {
			continue // it is covered itself
		}
		tree, err := cloneTree(fd)
		unix.Close(fd)
		if err != nil {
			return nil, err
		}
		found = append(found, submount{name, tree})
	}
	return found, nil
}

// makeLayer makes a directory with the layers in the private root. Directories on
// the way have the owner and the mode of those below.
func (v *view) makeLayer(layers []Layer, lower int) (int, error) {
	name := fmt.Sprintf("%s/%d", layersDir, v.files)
	v.files++
	base, err := v.makeDirs(name)
	if err != nil {
		return notOpen, err
	}
	for _, l := range layers {
		if err := makeOneLayer(base, lower, &l); err != nil {
			unix.Close(base)
			return notOpen, fmt.Errorf("making %q: %w", l.Path, err)
		}
	}
	return base, nil
}

func makeOneLayer(base, lower int, l *Layer) error {
	names := strings.Split(l.Path, "/")
	for i := 1; i < len(names); i++ {
		if err := likeLower(base, lower, path.Join(names[:i]...)); err != nil {
			return err
		}
	}
	switch l.Kind {
	case LayerHide:
		// A whiteout, as the kernel's documentation of overlayfs says.
		return unix.Mknodat(base, l.Path, unix.S_IFCHR, 0)
	case LayerDir:
		return likeLower(base, lower, l.Path)
	case LayerLink:
		return unix.Symlinkat(l.Content, base, l.Path)
	case LayerFile:
		fd, err := unix.Openat(base, l.Path, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o644)
		if err != nil {
			return err
		}
		f := os.NewFile(uintptr(fd), l.Path)
		defer f.Close()
		_, err = f.WriteString(l.Content)
		return err
	}
	return fmt.Errorf("unknown kind %q", l.Kind)
}

// likeLower makes a directory that is merged with the one of the same name below.
func likeLower(base, lower int, name string) error {
	mode, uid, gid := uint32(0o755), 0, 0
	var st unix.Stat_t
	if err := unix.Fstatat(lower, name, &st, unix.AT_SYMLINK_NOFOLLOW); err == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR {
		mode, uid, gid = st.Mode&0o7777, int(st.Uid), int(st.Gid)
	}
	err := unix.Mkdirat(base, name, mode)
	if errors.Is(err, unix.EEXIST) {
		return nil
	}
	if err == nil && uid|gid != 0 {
		err = unix.Fchownat(base, name, uid, gid, unix.AT_SYMLINK_NOFOLLOW)
	}
	return err
}

// OverlayWorks reports whether the kernel can show a directory as an overlay: nil if so.
// It is tried in a mount namespace of its own, once for what is there: a failure may pass,
// as one for lack of memory, and another file system may be mounted there later.
func OverlayWorks(dir string) error {
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return fmt.Errorf("%q: %w", dir, err)
	}
	found := fileID{st.Dev, st.Ino}
	if known, ok := overlays.Load(dir); ok && known == found {
		return nil
	}
	result := make(chan error)
	go func() {
		runtime.LockOSThread() // the thread ends with this function, and its namespace with it
		if unix.Gettid() == unix.Getpid() {
			defer runtime.UnlockOSThread()
			other := make(chan error)
			go func() {
				runtime.LockOSThread()
				other <- tryOverlay(dir)
			}()
			result <- <-other
			return
		}
		result <- tryOverlay(dir)
	}()
	err := <-result
	if err == nil {
		overlays.Store(dir, found)
	}
	return err
}

type fileID struct{ device, inode uint64 }

var overlays sync.Map // of directory to the fileID with which one works

// tried is a name that nothing in an overlaid directory has.
const tried = ".overlay-works"

// firstName is a name in a directory, which may have any number of them: the first that
// the file system has. "" is of an empty one.
func firstName(dir string) (string, error) {
	f, err := os.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	names, err := f.Readdirnames(1)
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	return strings.Join(names, ""), nil
}

// tryOverlay adds a file to a directory, and hides the first one of it, in a new
// mount namespace of the calling thread.
func tryOverlay(dir string) error {
	first, err := firstName(dir)
	if err != nil {
		return fmt.Errorf("listing %q: %w", dir, err)
	}
	layers := []Layer{{Path: tried, Kind: LayerFile}}
	if first != "" {
		layers = append(layers, Layer{Path: first, Kind: LayerHide})
	}
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("unshare(CLONE_NEWNS): %w", err)
	}
	w := Isolation{PrivateRoot: true, Mounts: []Mount{{
		Type: Overlay, Source: dir, Target: dir, Create: true, ReadOnly: true, Layers: layers,
	}}}
	if err := makeView(w, nil); err != nil {
		return err
	}
	if _, err := os.Lstat(path.Join(dir, tried)); err != nil {
		return fmt.Errorf("an overlay does not show a file of its own in %q: %w", dir, err)
	}
	for _, l := range layers[1:] {
		if _, err := os.Lstat(path.Join(dir, l.Path)); !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("an overlay does not hide %q (%w)", path.Join(dir, l.Path), err)
		}
	}
	return nil
}
