// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package sandbox

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
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
	seen  map[string]fileVersion
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
	return nil
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

// copy copies a file, if it is another one than before. One that is not there for
// now, as between a removal and a new one, stays what it was.
func (h *HostFiles) copy(file, dir string) error {
	var st unix.Stat_t
	if err := unix.Stat(file, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG || st.Size > mostHostFile {
		return nil
	}
	version := versionOf(&st)
	target := filepath.Join(dir, filepath.Base(file))
	if h.seen[file] == version && exists(target) {
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
	// Nobody ever sees half of it.
	fresh := target + ".new"
	if err := os.WriteFile(fresh, text, 0o644); err != nil {
		return err
	}
	if err := os.Chmod(fresh, 0o644); err != nil {
		return err
	}
	if err := os.Rename(fresh, target); err != nil {
		return err
	}
	h.seen[file] = version
	return nil
}
