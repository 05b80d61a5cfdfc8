// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package executor

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/internal/plain"
)

// source is what a mount shows of the host. It is opened before any mount is
// made, since the list may cover the source of a later one; and where the host's
// mounts are, since the kernel copies a mount tree only within its namespace.
type source struct {
	// Tree is a descriptor of a detached copy of the mount tree at the source of
	// a bind, or of a device that cannot be made anew. It is notOpen or skipped
	// otherwise.
	Tree int `json:"tree"`
	// Mode and Rdev are those of a device, stat(2).
	Mode uint32 `json:"mode,omitempty"`
	Rdev uint64 `json:"rdev,omitempty"`
}

// No descriptors.
const (
	notOpen = -1
	skipped = -2 // of what is optional, and does not exist
)

// sources are those of a list of mounts.
type sources struct {
	Mounts []source `json:"mounts"` // in the order of the list
}

// openSources opens the sources of mounts. canMake says whether a device can be
// made, by its source; nil stands for all of them: a caller who finds otherwise
// opens the tree then.
func openSources(mounts []Mount, canMake func(source) bool) (*sources, error) {
	all := &sources{}
	for i := range mounts {
		m := &mounts[i]
		s, err := openSource(m, canMake)
		if err != nil {
			all.close()
			return nil, fmt.Errorf("mount source %s: %w", plain.Name(m.Source), err)
		}
		all.Mounts = append(all.Mounts, s)
	}
	return all, nil
}

func (s *sources) close() {
	for _, m := range s.Mounts {
		closeAll(m.Tree)
	}
}

// renumbered are the same sources with other descriptors.
func (s *sources) renumbered(number func(int) int) *sources {
	other := &sources{}
	for _, m := range s.Mounts {
		m.Tree = number(m.Tree)
		other.Mounts = append(other.Mounts, m)
	}
	return other
}

// closeAll closes those that are descriptors.
func closeAll(fds ...int) {
	for _, fd := range fds {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

func openSource(m *Mount, canMake func(source) bool) (source, error) {
	s := source{Tree: notOpen}
	if !m.hasSource() {
		return s, nil
	}
	fd, err := openPath(m.Source)
	if errors.Is(err, unix.ENOENT) && m.Optional {
		return source{Tree: skipped}, nil
	}
	if err != nil {
		return s, explainLink(m.Source, err)
	}
	defer unix.Close(fd)
	if m.Type == Device {
		if err := s.identify(fd); err != nil {
			return s, err
		}
		if canMake == nil || canMake(s) {
			return s, nil
		}
	}
	s.Tree, err = cloneTree(fd)
	return s, err
}

// explainLink names the symbolic link on a path that could not be opened, if that
// is the reason: the link may have been there always.
func explainLink(name string, err error) error {
	for i := 1; i <= len(name); i++ {
		if i < len(name) && name[i] != '/' {
			continue
		}
		if target, failed := os.Readlink(name[:i]); failed == nil {
			return fmt.Errorf("%s is a symbolic link to %s: only the real path of what is to be shown is followed, name that", plain.Name(name[:i]), plain.Name(target))
		}
	}
	return err
}

// hasSource reports whether a mount shows something of the host.
func (m *Mount) hasSource() bool { return m.Type == Bind || m.Type == Overlay || m.Type == Device }

// identify notes which device a file is.
func (s *source) identify(fd int) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return fmt.Errorf("fstat: %w", err)
	}
	kind := st.Mode & unix.S_IFMT
	if kind != unix.S_IFCHR && kind != unix.S_IFBLK {
		return errors.New("it is not a device")
	}
	s.Mode, s.Rdev = st.Mode, st.Rdev
	return nil
}

// cloneTree returns a detached copy of the mount tree at an open file.
func cloneTree(fd int) (int, error) {
	tree, err := unix.OpenTree(fd, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE|unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return notOpen, fmt.Errorf("open_tree(2): %w", err)
	}
	return tree, nil
}

// madeDevices are devices, and whether this process can make them.
var madeDevices sync.Map // of source to bool

// canMake reports whether a device can be made anew, not so in most containers.
// It tries it, in a file system that nobody sees.
func canMake(device source) bool {
	if can, known := madeDevices.Load(device); known {
		return can.(bool)
	}
	can := tryMaking(device) == nil
	madeDevices.Store(device, can)
	return can
}

func tryMaking(device source) error {
	fs, err := unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return err
	}
	defer unix.Close(fs)
	if err := unix.FsconfigCreate(fs); err != nil {
		return err
	}
	dir, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	return unix.Mknodat(dir, "device", device.Mode, int(device.Rdev))
}
