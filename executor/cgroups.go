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

	"github.com/burin-labs/nomad-driver-harn/internal/plain"
)

// cgroups are descriptors of the cgroups of a task, opened where the host's file
// system is in reach, for programs to be in. notOpen stands for none.
type cgroups struct {
	// Unified is a directory of cgroups v2: a process is born in it.
	Unified int `json:"unified"`
	// Tasks are the tasks files of cgroups v1: a child joins them itself,
	// before it does anything else.
	Tasks []int `json:"tasks,omitempty"`
	// Events count what the kernel has killed for want of memory.
	Events int    `json:"events"`
	Killed uint64 `json:"killed"` // when they were opened
}

// openCgroups opens the cgroups in the directories.
func openCgroups(dirs []string) (*cgroups, error) {
	c := &cgroups{Unified: notOpen, Events: notOpen}
	for _, dir := range dirs {
		if err := c.open(dir); err != nil {
			c.close()
			return nil, fmt.Errorf("cgroup %s: %w", plain.Name(dir), err)
		}
	}
	c.Killed = c.oomKills()
	return c, nil
}

// eventFiles hold the count of a memory cgroup's OOM kills, of v2 and v1.
var eventFiles = []string{"memory.events", "memory.oom_control"}

// oomKills returns how many processes the kernel has killed in the memory
// cgroup, for whichever task was in it. 0 if there is none.
func (c *cgroups) oomKills() uint64 {
	if c.Events == notOpen {
		return 0
	}
	text := make([]byte, 4096)
	n, _ := unix.Pread(c.Events, text, 0)
	for line := range strings.Lines(string(text[:max(n, 0)])) {
		if count, ok := strings.CutPrefix(strings.TrimSpace(line), "oom_kill "); ok {
			kills, _ := strconv.ParseUint(count, 10, 64)
			return kills
		}
	}
	return 0
}

// oomKilled reports whether a process was killed since the cgroups were opened.
func (c *cgroups) oomKilled() bool { return c.oomKills() > c.Killed }

func (c *cgroups) open(dir string) (err error) {
	for _, name := range eventFiles {
		if fd, err := unix.Open(path.Join(dir, name), unix.O_RDONLY|unix.O_CLOEXEC, 0); err == nil {
			closeAll(c.Events)
			c.Events = fd
		}
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return err
	}
	if fs.Type == unix.CGROUP2_SUPER_MAGIC {
		closeAll(c.Unified)
		c.Unified, err = unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		return err
	}
	tasks := path.Join(dir, "tasks")
	fd, err := unix.Open(tasks, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("%s: %w", plain.Name(tasks), err)
	}
	c.Tasks = append(c.Tasks, fd)
	return nil
}

// renumbered are the same cgroups with other descriptors.
func (c *cgroups) renumbered(number func(int) int) *cgroups {
	other := &cgroups{Unified: number(c.Unified), Events: number(c.Events), Killed: c.Killed}
	for _, fd := range c.Tasks {
		other.Tasks = append(other.Tasks, number(fd))
	}
	return other
}

// close closes what children need, and what counts OOM kills.
func (c *cgroups) close() {
	c.closeDoors()
	closeAll(c.Events)
	c.Events = notOpen
}

// closeDoors closes what children need.
func (c *cgroups) closeDoors() {
	closeAll(c.Unified)
	closeAll(c.Tasks...)
	c.Unified, c.Tasks = notOpen, nil
}

// joinCgroups moves a child into the cgroups whose tasks files these are,
// cgroups(7): the calling thread alone, which is all that there is. To move a whole
// process by cgroup.procs, the kernel locks out all forks and exits of the machine,
// and waits 5 to 13 ms until it has.
func joinCgroups(s *sequence, tasks []int) {
	myself := address(&s.memory, byte('0'))
	for i, fd := range tasks {
		s.begin("joining cgroup %d of %d", i+1, len(tasks))
		s.call(unix.SYS_WRITE, uintptr(fd), myself, 1)
	}
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
	return fmt.Errorf("the processes in %s cannot be killed: do they wait for a disk or a network that does not answer?", plain.Name(dir))
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
