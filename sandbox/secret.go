// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/internal/plain"
	"github.com/burin-labs/nomad-driver-harn/landlock"
	"github.com/burin-labs/nomad-driver-harn/policy"
)

// Errors tell the author of a job about the host what anybody can find out
// there, and no more: neither whether there is anything at a path of another
// kind, nor what it is.

// conceals reports whether errors must not say what is at a path: it is not in the
// view, and not everybody may look it up on the host.
func (v *view) conceals(path string) bool {
	if _, visible := v.hostPath(path); visible && !v.lacks(path) {
		return false
	}
	return !public(path, v.places)
}

// conceals makes an exception for the places where programs are looked for.
func (f *finder) conceals(path string) bool { return f.view.conceals(path) && !isUsual(path) }

// concealed is the error for such a path, made of its name alone.
func (f *finder) concealed(path string) error {
	if m := f.closedBy(path); m != nil {
		return concealedError{&deniedError{path, *m}}
	}
	return concealedError{&outsideError{file: path, roots: []string{installation(path)}, readOnly: f.readOnly}}
}

// beyondRoots is said of a link, whatever is there where it leads.
const beyondRoots = "outside of every root that the task may execute from, to where only some users of this host may look: name in read_only_roots what it leads to, or have a copy in the task directory"

type concealedError struct{ error }

// Is makes it one of [fs.ErrNotExist]: where a name is looked for in several places,
// it is not there.
func (concealedError) Is(target error) bool { return target == fs.ErrNotExist }

// isUsual reports whether a path is one at which programs are looked for without
// being named.
func isUsual(path string) bool {
	for _, place := range usualPlaces {
		for _, dir := range inHomes(place) {
			if match, _ := filepath.Match(dir+"/*", path); match {
				return true
			}
		}
	}
	return false
}

// public reports whether any user of the host can find out what is at a path: all
// directories on the way can be searched by others, and none is a protected place.
func public(path string, places []place) bool {
	enter := func(at string, more bool) error {
		if slices.ContainsFunc(places, func(p place) bool { return p.closes(at, false) }) {
			return fs.ErrPermission
		}
		if !more {
			return nil
		}
		info, err := os.Lstat(at)
		if err == nil && info.IsDir() && info.Mode().Perm()&0o001 == 0 {
			return fs.ErrPermission
		}
		return err
	}
	err := enter("/", true)
	if err == nil {
		_, err = policy.Walk(path, func(at string, rest []string) (string, error) {
			if target, err := os.Readlink(at); err == nil {
				return target, nil
			}
			return "", enter(at, len(rest) > 0)
		})
	}
	return err == nil || errors.Is(err, fs.ErrNotExist) // as everybody can see
}

// legible reports whether the content of a file may be looked at for an error: what
// the task has itself, and what others may read.
func (f *finder) legible(file string) bool {
	if landlock.Beneath(f.taskDir, file) {
		return true
	}
	info, err := os.Stat(file)
	return err == nil && info.Mode().Perm()&0o004 != 0
}

var errNotAFile = errors.New("not a file")

// openFile opens what is a regular file, at once. A script can name anything as its
// interpreter: a FIFO or a leased file would hold this process up, and of devices some
// do something when they are opened.
func openFile(path string) (*os.File, error) {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, fmt.Errorf("%s: %w", plain.Name(path), errNotAFile)
	}
	return os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", fd), os.O_RDONLY|unix.O_NONBLOCK, 0)
}
