// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package executor

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// A record says which processes to kill and what sessions enter: so it is
// believed only if nobody but this process's user, which is root under Nomad, can
// have written it. That depends on the file, its directory, and all directories
// above, in which others could put something else in its place.

// othersWrite are the permissions of a file by which others than its owner change it.
const othersWrite = 0o022

// mostLinks is how many symbolic links on a path are followed, path_resolution(7).
const mostLinks = 40

// CheckStateDir returns why a directory, or what there is of it and of the
// directories above, is no place for records: others than root can change it, or
// it is a symbolic link.
func CheckStateDir(dir string) error {
	f, err := openTrusted(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil // it will be made, in directories that are to be trusted
	}
	if err != nil {
		return err
	}
	return f.Close()
}

// openTrusted opens a directory that nobody else can change, and put nothing else
// in the place of: each directory on the path is looked at by the descriptor by
// which the next one is opened. A user other than root has no say about the
// directories above its own, and is trusted with them.
func openTrusted(dir string) (*os.File, error) {
	if !path.IsAbs(dir) {
		return nil, fmt.Errorf("%q is not an absolute path", dir)
	}
	if os.Geteuid() != 0 {
		return openOwn(dir)
	}
	at, err := openPath("/")
	if err != nil {
		return nil, fmt.Errorf("/: %w", err)
	}
	done, rest, links := "/", split(dir), 0
	for {
		var st unix.Stat_t
		if err := unix.Fstat(at, &st); err != nil {
			unix.Close(at)
			return nil, fmt.Errorf("%q: %w", done, err)
		}
		last := len(rest) == 0
		if err := trustDir(done, &st, last); err != nil {
			unix.Close(at)
			return nil, err
		}
		if last {
			break
		}
		name := rest[0]
		next, err := unix.Openat(at, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			unix.Close(at)
			return nil, fmt.Errorf("%q: %w", path.Join(done, name), err)
		}
		target, isLink, err := readLink(next, path.Join(done, name), len(rest) == 1)
		if err != nil {
			closeAll(next, at)
			return nil, err
		}
		if !isLink {
			unix.Close(at)
			at, done, rest = next, path.Join(done, name), rest[1:]
			continue
		}
		unix.Close(next)
		if links++; links > mostLinks {
			unix.Close(at)
			return nil, fmt.Errorf("%q: %w", dir, unix.ELOOP)
		}
		rest = append(split(target), rest[1:]...)
		if path.IsAbs(target) {
			unix.Close(at)
			if at, err = openPath("/"); err != nil {
				return nil, fmt.Errorf("/: %w", err)
			}
			done = "/"
		}
	}
	defer unix.Close(at)
	fd, err := unix.Openat(at, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", dir, err)
	}
	return os.NewFile(uintptr(fd), dir), nil
}

func split(name string) []string {
	return strings.FieldsFunc(name, func(r rune) bool { return r == '/' })
}

// readLink reads what is a link of root's own. The directory itself is to be none.
func readLink(fd int, name string, last bool) (target string, isLink bool, err error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return "", false, fmt.Errorf("%q: %w", name, err)
	}
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFLNK:
		return "", false, nil
	case last:
		return "", false, fmt.Errorf("%q is a symbolic link, expected a directory: name the one that it leads to", name)
	case st.Uid != 0:
		return "", false, fmt.Errorf("%q is a symbolic link of user %d, expected one of root: that user could lead it elsewhere", name, st.Uid)
	}
	text := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(fd, "", text)
	if err != nil {
		return "", false, fmt.Errorf("%q: %w", name, err)
	}
	return string(text[:n]), true, nil
}

// trustDir checks a directory of the path. In one above with the sticky bit, as in
// /var/tmp, others cannot replace what is root's.
func trustDir(name string, st *unix.Stat_t, last bool) error {
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFDIR:
		return fmt.Errorf("%q is not a directory", name)
	case st.Uid != uint32(os.Geteuid()):
		return fmt.Errorf("%q belongs to user %d, expected %d: its owner could forge records: chown it, or take another directory", name, st.Uid, os.Geteuid())
	case st.Mode&othersWrite != 0 && (last || st.Mode&unix.S_ISVTX == 0):
		return fmt.Errorf("%q has mode %#o, others than its owner can write to it and could forge records: chmod go-w, or take another directory", name, st.Mode&0o7777)
	}
	return nil
}

// openOwn opens a directory that is the caller's alone.
func openOwn(dir string) (*os.File, error) {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", dir, err)
	}
	var st unix.Stat_t
	if err = unix.Fstat(fd, &st); err == nil {
		err = trustDir(dir, &st, true)
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), dir), nil
}

// openRecord opens a file of a trusted directory, which is to be one that was made
// there, for the caller alone.
func openRecord(dir *os.File, name string) (*os.File, error) {
	// O_NONBLOCK: a FIFO in its place must not hold this process up.
	fd, err := unix.Openat(int(dir.Fd()), name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	file := path.Join(dir.Name(), name)
	if errors.Is(err, unix.ELOOP) {
		return nil, fmt.Errorf("%q is a symbolic link, expected a record", file)
	}
	if err != nil {
		return nil, fmt.Errorf("%q: %w", file, err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("%q: %w", file, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG || st.Uid != uint32(os.Geteuid()) || st.Mode&0o7077 != 0 || st.Nlink != 1 {
		unix.Close(fd)
		return nil, fmt.Errorf("%q has mode %#o, owner %d and %d links, expected a record: a regular file with mode 0600, owner %d and one link", file, st.Mode, st.Uid, st.Nlink, os.Geteuid())
	}
	return os.NewFile(uintptr(fd), file), nil
}
