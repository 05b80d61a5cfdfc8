// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package sandbox

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/egress"
	"github.com/burin-labs/nomad-driver-harn/egress/forward"
)

// A host replaces its resolv.conf and hosts by rename, or leads a symbolic link
// elsewhere. What a task was shown of them then stays what it was. So the plugin
// keeps copies in a directory of its own, which tasks see read-only, and these
// follow. Without a plugin they are old, and still there.

const hostsFile = "/etc/hosts"

// followed are the files that tasks have the host's of, as they are now.
var followed = []string{resolvConf, hostsFile}

// hostFilesPlace is where a task sees the copies.
const hostFilesPlace = "/.host"

// mostHostFile is the size in bytes up to which a file is copied.
const mostHostFile = 64 << 20

// HostFilesDir is where the copies are: beside the records, which tasks must not
// see.
func HostFilesDir(stateDir string) string { return filepath.Clean(stateDir) + ".host" }

// HostFiles keeps copies of the files that tasks follow. The zero value is ready.
type HostFiles struct {
	mutex sync.Mutex
	seen  map[string]fileVersion // by the copy's name
	// resolver is of which files the forwarders' one is.
	resolver [2]fileVersion
}

// fileVersion tells a file from what replaces it, and from what it was.
type fileVersion struct {
	dev, ino     uint64
	size         int64
	mtime, ctime unix.Timespec
}

func versionOf(st *unix.Stat_t) fileVersion {
	return fileVersion{st.Dev, st.Ino, st.Size, st.Mtim, st.Ctim}
}

// Refresh copies what has changed. The directory must be root's alone.
func (h *HostFiles) Refresh(dir string) error {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	if err := ownDirectory(dir); err != nil {
		return err
	}
	if h.seen == nil {
		h.seen = map[string]fileVersion{}
	}
	for _, file := range followed {
		if err := h.copy(file, dir); err != nil {
			return fmt.Errorf("copying %s: %w", file, err)
		}
	}
	if version := [2]fileVersion{h.seen[copyOf(resolvConf, dir)], h.seen[copyOf(hostsFile, dir)]}; version != h.resolver || !exists(filepath.Join(dir, resolverFile)) {
		resolver, err := egress.ReadResolver(copyOf(resolvConf, dir), copyOf(hostsFile, dir))
		if err == nil && len(resolver.Servers) == 0 {
			if len(resolver.Hosts) == 0 {
				return nil // the files are being written: what was known is better, until the next look
			}
			// The file is being written, or the node has lost its network: servers that were
			// known are better than none.
			if known, err := readResolver(filepath.Join(dir, resolverFile)); err == nil {
				resolver.Servers, resolver.Timeout, resolver.Attempts = known.Servers, known.Timeout, known.Attempts
			}
		}
		// What fails here concerns the forwarders of tasks with egress alone, which go on with
		// what they have, and is tried again when one of the files changes, or this one is not there.
		h.resolver = version
		if err == nil {
			err = writeResolver(resolver, filepath.Join(dir, resolverFile))
		}
		if err != nil {
			return &ResolverError{err}
		}
	}
	return nil
}

// ResolverError says that the copies are up to date, and what forwarders follow is not.
type ResolverError struct{ err error }

func (e *ResolverError) Error() string {
	return "tasks with egress do not follow how this node looks names up: " + e.err.Error()
}

func (e *ResolverError) Unwrap() error { return e.err }

// resolverFile is what both files say, for the forwarders of tasks with egress, which have
// it open: it stays the same file.
const resolverFile = ".resolver"

// readResolver reads what forwarders follow.
func readResolver(file string) (forward.Resolver, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return forward.Resolver{}, err
	}
	return forward.DecodeResolver(content)
}

// writeResolver writes a file that forwarders follow. It is no task's to read.
func writeResolver(resolver forward.Resolver, file string) error {
	content, err := forward.EncodeResolver(resolver)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.WriteAt(content, 0); err != nil {
		return err
	}
	return f.Truncate(int64(len(content)))
}

// ownDirectory makes a directory that root alone writes, or checks that it is one.
func ownDirectory(dir string) error {
	err := os.Mkdir(dir, 0o755)
	if err == nil {
		return os.Chmod(dir, 0o755) // whatever the umask is
	}
	if os.IsNotExist(err) {
		if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
			return err
		}
		return ownDirectory(dir)
	}
	var st unix.Stat_t
	if err := unix.Lstat(dir, &st); err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR || st.Uid != 0 || st.Mode&0o022 != 0 {
		return fmt.Errorf("%s is not a directory that root alone can write: remove it", dir)
	}
	return nil
}

// copyOf is where the copy of a file is.
func copyOf(file, dir string) string { return filepath.Join(dir, filepath.Base(file)) }

// copy copies a file, if it is another one than before. One that is not there for
// now, as between a removal and a new one, stays what it was.
func (h *HostFiles) copy(file, dir string) error {
	var st unix.Stat_t
	if err := unix.Stat(file, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG || st.Size > mostHostFile {
		return nil
	}
	version := versionOf(&st)
	target := copyOf(file, dir)
	if h.seen[target] == version && exists(target) {
		return nil
	}
	// It may be a FIFO by now.
	f, err := os.OpenFile(file, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil
	}
	text, err := io.ReadAll(io.LimitReader(f, mostHostFile))
	f.Close()
	if err != nil {
		return nil
	}
	// Nobody ever sees half of it, also where two plugins write.
	fresh, err := os.CreateTemp(dir, ".new-")
	if err != nil {
		return err
	}
	_, err = fresh.Write(text)
	err = errors.Join(err, fresh.Chmod(0o644), fresh.Close())
	if err == nil {
		err = os.Rename(fresh.Name(), target)
	}
	if err != nil {
		return errors.Join(err, os.Remove(fresh.Name()))
	}
	h.seen[target] = version
	return nil
}
