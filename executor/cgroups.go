// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package executor

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
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
			return nil, err
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

func (c *cgroups) open(dir string) error {
	at, unified, err := openCgroup(dir)
	if err != nil {
		return err
	}
	defer unix.Close(at)
	for _, name := range eventFiles {
		if fd, err := unix.Openat(at, name, unix.O_RDONLY|unix.O_CLOEXEC, 0); err == nil {
			closeAll(c.Events)
			c.Events = fd
		}
	}
	if unified {
		closeAll(c.Unified)
		c.Unified, err = unix.Openat(at, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		return err
	}
	const tasks = "tasks"
	fd, err := unix.Openat(at, tasks, unix.O_WRONLY|unix.O_CLOEXEC, 0)
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
	c.closeJoin()
	closeAll(c.Events)
	c.Events = notOpen
}

// closeJoin closes what children need.
func (c *cgroups) closeJoin() {
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

// openCgroup opens the directory of a cgroup: a path from a record that is none
// leads to nothing.
func openCgroup(dir string) (fd int, unified bool, err error) {
	if !path.IsAbs(dir) || path.Clean(dir) != dir {
		return notOpen, false, fmt.Errorf("cgroup %q: not an absolute path", dir)
	}
	fd, err = unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return notOpen, false, fmt.Errorf("cgroup %q: %w", dir, err)
	}
	var fs unix.Statfs_t
	var own, above unix.Stat_t
	err = unix.Fstatfs(fd, &fs)
	if err == nil {
		err = unix.Fstat(fd, &own)
	}
	if err == nil {
		err = unix.Fstatat(fd, "..", &above, 0)
	}
	switch {
	case err != nil:
		err = fmt.Errorf("cgroup %q: %w", dir, err)
	case fs.Type != unix.CGROUP_SUPER_MAGIC && fs.Type != unix.CGROUP2_SUPER_MAGIC:
		err = fmt.Errorf("cgroup %q: it is not in a cgroup file system (type %#x), expected a cgroup", dir, fs.Type)
	case own.Dev != above.Dev:
		err = fmt.Errorf("cgroup %q: it is the root of a cgroup file system, expected the cgroup of a task", dir)
	}
	if err != nil {
		unix.Close(fd)
		return notOpen, false, err
	}
	return fd, fs.Type == unix.CGROUP2_SUPER_MAGIC, nil
}

// killTries is how often a cgroup is looked through for what has forked
// meanwhile.
const killTries = 100

// killCgroup kills all processes in the cgroup in a directory, and waits until
// they are gone. It is for what a supervisor does not reach. "" is none, and so is
// one that was removed.
func killCgroup(dir string) error {
	if dir == "" {
		return nil
	}
	fd, unified, err := openCgroup(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("killing the processes of a task: %w", err)
	}
	defer unix.Close(fd)
	for range killTries {
		left, err := killMembers(fd, unified)
		if err != nil {
			return fmt.Errorf("killing the processes of a task: %q: %w", dir, err)
		}
		if !left {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return fmt.Errorf("the processes in %s cannot be killed: do they wait for a disk or a network that does not answer?", plain.Name(dir))
}

// killMembers kills the processes in a cgroup, of which some may have forked
// meanwhile. left says whether there were any.
func killMembers(cgroup int, unified bool) (left bool, err error) {
	pids, err := members(cgroup)
	if len(pids) == 0 || err != nil {
		return false, err
	}
	if err := spare(pids); err != nil {
		return true, err
	}
	// All at once, since Linux 5.14; else while they cannot fork.
	if unified && writeAt(cgroup, "cgroup.kill", "1") == nil {
		return true, nil
	}
	freezer, frozen, thawed := "freezer.state", "FROZEN", "THAWED"
	if unified {
		freezer, frozen, thawed = "cgroup.freeze", "1", "0"
	}
	_ = writeAt(cgroup, freezer, frozen)
	defer func() { _ = writeAt(cgroup, freezer, thawed) }()
	var opened []int
	defer func() { closeAll(opened...) }()
	held := map[int]int{}
	for _, pid := range pids {
		if pidfd, err := unix.PidfdOpen(pid, 0); err == nil {
			opened = append(opened, pidfd)
			held[pid] = pidfd
		}
	}
	// What has the PID of a process that has ended meanwhile is no member.
	still, err := members(cgroup)
	if err != nil {
		return true, err
	}
	for _, pid := range still {
		if pidfd, ok := held[pid]; ok {
			_ = unix.PidfdSendSignal(pidfd, unix.SIGKILL, nil, 0)
		}
	}
	return true, nil
}

// members are the processes in a cgroup, as this process sees them; none if it was
// removed.
func members(cgroup int) (pids []int, err error) {
	const name = "cgroup.procs"
	fd, err := unix.Openat(cgroup, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	text, err := io.ReadAll(f)
	if errors.Is(err, unix.ENODEV) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for field := range strings.FieldsSeq(string(text)) {
		pid, err := strconv.Atoi(field)
		if err != nil || pid < 0 {
			return nil, fmt.Errorf("%s: %q is no PID", name, field)
		}
		pids = append(pids, pid)
	}
	return pids, nil
}

// spare refuses a cgroup with a process in it that no task has: the first one,
// this one, and those that have started it.
func spare(pids []int) error {
	for own := os.Getpid(); own > 0; {
		if slices.Contains(pids, own) {
			return fmt.Errorf("process %d is in it, which is this one or an ancestor of it: it is no task's cgroup", own)
		}
		parent, err := ParentOf(own)
		if err != nil {
			return err
		}
		own = parent
	}
	if slices.Contains(pids, 1) {
		return errors.New("process 1 is in it: it is no task's cgroup")
	}
	return nil
}

// writeAt writes to a file of a cgroup.
func writeAt(cgroup int, name, text string) error {
	fd, err := unix.Openat(cgroup, name, unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_, err = unix.Write(fd, []byte(text))
	return err
}
