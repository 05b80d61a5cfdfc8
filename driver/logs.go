// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/nomad/plugins/drivers"
	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/internal/plain"
)

// logTimeout is how long Nomad's logmon may take to open its end of a log FIFO.
const logTimeout = 10 * time.Second

// openLog opens a task's end of a log FIFO, or /dev/null for a task without
// logs.
//
// Tasks can write to the directories above the FIFO. So no symbolic link is
// followed, and what is there must be a FIFO: root would otherwise open, and
// give away, whatever a task puts in its place.
func openLog(allocDir, path string) (*os.File, error) {
	if path == "" || path == os.DevNull {
		return os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	}
	rel, err := filepath.Rel(allocDir, path)
	if err != nil || !filepath.IsLocal(rel) {
		return nil, fmt.Errorf("log FIFO %s is not in the allocation's directory %s", plain.Name(path), plain.Name(allocDir))
	}
	f, err := openFIFO(allocDir, rel)
	if err != nil {
		return nil, fmt.Errorf("log FIFO %s: %w", plain.Name(path), err)
	}
	return f, nil
}

// openBeneath opens a path beneath a directory, on which no symbolic link is.
func openBeneath(dir, name string, flags uint64) (int, error) {
	at, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	defer unix.Close(at)
	fd, err := unix.Openat2(at, name, &unix.OpenHow{
		Flags:   flags | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS,
	})
	if errors.Is(err, unix.ELOOP) {
		return -1, errors.New("a symbolic link is on this path: a task has replaced it")
	}
	return fd, err
}

func openFIFO(dir, name string) (*os.File, error) {
	path, err := openBeneath(dir, name, unix.O_PATH)
	if err != nil {
		return nil, err
	}
	defer unix.Close(path)
	var st unix.Stat_t
	if err := unix.Fstat(path, &st); err != nil {
		return nil, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFIFO {
		return nil, fmt.Errorf("not a FIFO (mode %#o): a task has replaced it", st.Mode)
	}
	// By the descriptor: this very FIFO, whatever has the name by now.
	again := fmt.Sprintf("/proc/self/fd/%d", path)
	fd, err := waitForReader(again)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

// waitForReader opens a FIFO for writing. Without a reader that would block,
// fifo(7), for good if logmon died: so it is tried until the time is over.
func waitForReader(path string) (int, error) {
	for deadline := time.Now().Add(logTimeout); ; time.Sleep(time.Millisecond) {
		fd, err := unix.Open(path, unix.O_WRONLY|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
		if err == nil {
			return fd, unix.SetNonblock(fd, false) // for the task
		}
		if !errors.Is(err, unix.ENXIO) {
			return -1, err
		}
		if time.Now().After(deadline) {
			return -1, fmt.Errorf("nobody reads it after %v: Nomad's logmon has not started", logTimeout)
		}
	}
}

// releaseLogs shows the readers of a task that does not start the end of its
// logs: logmon waits for it, and Nomad for logmon.
func releaseLogs(cfg *drivers.TaskConfig) {
	for _, path := range []string{cfg.StdoutPath, cfg.StderrPath} {
		if f, err := openLog(cfg.AllocDir, path); err == nil {
			f.Close()
		}
	}
}
