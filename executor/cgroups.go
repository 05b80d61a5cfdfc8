// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package executor

import (
	"fmt"
	"os"
	"path"

	"golang.org/x/sys/unix"
)

// cgroups are the cgroups of a task, opened while the host's file system is in
// reach, for launchers to be in.
type cgroups struct {
	// unified is a directory of cgroups v2: a process is born in it.
	unified *os.File
	// procs are the cgroup.procs files of cgroups v1: a launcher joins them
	// itself, before it does anything else.
	procs []*os.File
}

// openCgroups opens the cgroups in the directories.
func openCgroups(dirs []string) (*cgroups, error) {
	c := &cgroups{}
	for _, dir := range dirs {
		if err := c.open(dir); err != nil {
			c.close()
			return nil, fmt.Errorf("cgroup %s: %w", dir, err)
		}
	}
	return c, nil
}

func (c *cgroups) open(dir string) error {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return err
	}
	if fs.Type == unix.CGROUP2_SUPER_MAGIC {
		f, err := os.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY, 0)
		c.unified = f
		return err
	}
	f, err := os.OpenFile(path.Join(dir, "cgroup.procs"), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	c.procs = append(c.procs, f)
	return nil
}

func (c *cgroups) close() {
	if c.unified != nil {
		c.unified.Close()
	}
	for _, f := range c.procs {
		f.Close()
	}
}

// joinCgroups moves a launcher into the cgroups whose files it was given,
// cgroups(7).
func joinCgroups(n int) error {
	for i := range n {
		f := os.NewFile(uintptr(cgroupsFD+i), "cgroup.procs")
		if _, err := f.WriteString("0"); err != nil {
			return fmt.Errorf("joining cgroup %d of %d: %w", i+1, n, err)
		}
		f.Close()
	}
	return nil
}
