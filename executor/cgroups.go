// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package executor

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// cgroups are the cgroups of a task, opened while the host's file system is in
// reach, for launchers to be in.
type cgroups struct {
	// unified is a directory of cgroups v2: a process is born in it.
	unified *os.File
	// tasks are the tasks files of cgroups v1: a launcher joins them itself,
	// before it does anything else.
	tasks []*os.File
	// events count what the kernel has killed for want of memory.
	events *os.File
	killed uint64 // when they were opened
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
	c.killed = c.oomKills()
	return c, nil
}

// eventFiles hold the count of a memory cgroup's OOM kills, of v2 and v1.
var eventFiles = []string{"memory.events", "memory.oom_control"}

// oomKills returns how many processes the kernel has killed in the memory
// cgroup, for whichever task was in it. 0 if there is none.
func (c *cgroups) oomKills() uint64 {
	if c.events == nil {
		return 0
	}
	text := make([]byte, 4096)
	n, _ := c.events.ReadAt(text, 0)
	for line := range strings.Lines(string(text[:n])) {
		if count, ok := strings.CutPrefix(strings.TrimSpace(line), "oom_kill "); ok {
			kills, _ := strconv.ParseUint(count, 10, 64)
			return kills
		}
	}
	return 0
}

// oomKilled reports whether a process was killed since the cgroups were opened.
func (c *cgroups) oomKilled() bool { return c.oomKills() > c.killed }

func (c *cgroups) open(dir string) error {
	for _, name := range eventFiles {
		if f, err := os.Open(path.Join(dir, name)); err == nil {
			c.events = f
		}
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return err
	}
	if fs.Type == unix.CGROUP2_SUPER_MAGIC {
		f, err := os.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY, 0)
		c.unified = f
		return err
	}
	f, err := os.OpenFile(path.Join(dir, "tasks"), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	c.tasks = append(c.tasks, f)
	return nil
}

// close closes what launchers need, and what counts OOM kills.
func (c *cgroups) close() {
	c.closeDoors()
	if c.events != nil {
		c.events.Close()
	}
}

// closeDoors closes what launchers need.
func (c *cgroups) closeDoors() {
	if c.unified != nil {
		c.unified.Close()
	}
	for _, f := range c.tasks {
		f.Close()
	}
	c.unified, c.tasks = nil, nil
}

// joinCgroups moves a launcher into the cgroups whose files it was given,
// cgroups(7): the calling thread alone, which is the one that executes the
// program. To move a whole process by cgroup.procs, the kernel locks out all
// forks and exits of the machine, and waits 5 to 13 ms until it has.
func joinCgroups(n int) error {
	for i := range n {
		f := os.NewFile(uintptr(cgroupsFD+i), "tasks")
		if _, err := f.WriteString("0"); err != nil {
			return fmt.Errorf("joining cgroup %d of %d: %w", i+1, n, err)
		}
		f.Close()
	}
	return nil
}

// killTries is how often a cgroup is looked through for what has forked
// meanwhile.
const killTries = 100

// killCgroup kills all processes in the cgroup in a directory, and waits until
// they are gone. It is for what a supervisor does not reach.
func killCgroup(dir string) error {
	if dir == "" {
		return nil
	}
	for range killTries {
		pids, err := os.ReadFile(path.Join(dir, "cgroup.procs"))
		if errors.Is(err, os.ErrNotExist) || err == nil && len(pids) == 0 {
			return nil
		}
		if err != nil {
			return fmt.Errorf("killing the processes of a task: %w", err)
		}
		// All at once, since Linux 5.14; else while they cannot fork.
		if os.WriteFile(path.Join(dir, "cgroup.kill"), []byte("1"), 0) != nil {
			freezer, frozen, thawed := path.Join(dir, "freezer.state"), "FROZEN", "THAWED"
			if v2 := path.Join(dir, "cgroup.freeze"); exists(v2) {
				freezer, frozen, thawed = v2, "1", "0"
			}
			_ = os.WriteFile(freezer, []byte(frozen), 0)
			for pid := range strings.FieldsSeq(string(pids)) {
				if n, err := strconv.Atoi(pid); err == nil && n > 0 {
					_ = unix.Kill(n, unix.SIGKILL)
				}
			}
			_ = os.WriteFile(freezer, []byte(thawed), 0)
		}
		time.Sleep(10 * time.Millisecond)
	}
	return fmt.Errorf("the processes in %s cannot be killed: do they wait for a disk or a network that does not answer?", dir)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
