// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package executor

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// source is what a mount shows of the host. It is opened before any mount is
// made, since the list may cover the source of a later one; and where the host's
// mounts are, since the kernel copies a mount tree only within its namespace.
type source struct {
	// Tree is a descriptor of a detached copy of the mount tree at the source of
	// a bind, or of a device that cannot be made anew. It is noTree or skipped
	// otherwise.
	Tree int `json:"tree"`
	// Mode and Rdev are those of a device, stat(2).
	Mode uint32 `json:"mode,omitempty"`
	Rdev uint64 `json:"rdev,omitempty"`
}

// No descriptors.
const (
	noTree  = -1
	skipped = -2 // what is optional, and does not exist
)

// openSources opens the sources of mounts. canMake says whether a device can be
// made, by its source; nil stands for all of them: a caller who finds otherwise
// opens the tree then.
func openSources(mounts []Mount, canMake func(source) bool) ([]source, error) {
	sources := make([]source, 0, len(mounts))
	for i := range mounts {
		s, err := openSource(&mounts[i], canMake)
		if err != nil {
			closeSources(sources)
			return nil, fmt.Errorf("mount source %s: %w", mounts[i].Source, err)
		}
		sources = append(sources, s)
	}
	return sources, nil
}

func closeSources(sources []source) {
	for _, s := range sources {
		s.close()
	}
}

func (s source) close() {
	if s.Tree >= 0 {
		unix.Close(s.Tree)
	}
}

func openSource(m *Mount, canMake func(source) bool) (source, error) {
	s := source{Tree: noTree}
	if m.Type != Bind && m.Type != Device {
		return s, nil
	}
	fd, err := openPath(m.Source)
	if errors.Is(err, unix.ENOENT) && m.Optional {
		return source{Tree: skipped}, nil
	}
	if err != nil {
		return s, err
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
		return noTree, fmt.Errorf("open_tree(2): %w", err)
	}
	return tree, nil
}
