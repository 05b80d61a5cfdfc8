// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package executor

import (
	"fmt"
	"os"
	"path"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/landlock"
	"github.com/burin-labs/nomad-driver-harn/seccomp"
)

// Companion is a process that serves a task for as long as that lasts, in other
// namespaces or under another confinement than the task. It has a user of its own,
// which no other process has, no capabilities, and nothing open but Files. What it uses
// counts against the task: it is in the task's cgroups.
//
// It is a role of this program, started by argv[0] as the others are. A keeper, which
// is no more than its parent, starts it again whenever it ends: by then the supervisor
// can execute nothing.
type Companion struct {
	Name string   `json:"name"` // argv[0]
	Env  []string `json:"env"`
	// Files are its descriptors, from 3 on. 0, 1 and 2 are /dev/null. Who starts the task
	// closes them.
	Files []*os.File `json:"-"`
	// Ruleset is nil where Landlock is not to be applied. It has no paths: a companion has
	// no files.
	Ruleset *landlock.Ruleset `json:"ruleset,omitempty"`
	// Filter is what it and its keeper are under, a program as
	// [seccomp.Program.MarshalBinary] encodes it. It must admit what both do: see
	// enterKeeper and keeper.
	Filter []byte `json:"filter"`
	// OpenFiles is how many files it can have open.
	OpenFiles uint64 `json:"open_files"`
	// Inside: it is in the task's network namespace. Otherwise it is in that of who starts
	// the task.
	Inside bool `json:"inside,omitempty"`
}

// companionUsers are the UIDs of companions: this number plus the PID of the task's
// supervisor on the host, which no other has at the same time. No registry hands out
// numbers as high as these, and no file is theirs.
const companionUsers = 0xe0000000

// IsCompanionUser reports whether a UID is one that a task's companions can have.
func IsCompanionUser(uid uint32) bool {
	return uid >= companionUsers && uid <= companionUsers+maxPID
}

// companionUser is the user of the task's companions.
func companionUser(proc int) (User, error) {
	link := make([]byte, 32)
	n, err := unix.Readlinkat(proc, "self", link)
	if err != nil {
		return User{}, fmt.Errorf("reading /proc/self: %w", err)
	}
	pid, err := strconv.ParseUint(string(link[:n]), 10, 32)
	if err != nil || pid == 0 || pid > maxPID {
		return User{}, fmt.Errorf("/proc/self is %q, expected a PID", link[:n])
	}
	id := companionUsers + uint32(pid)
	return User{UID: id, GID: id}, nil
}

// companions are what a supervisor needs to start a task's companions.
type companions struct {
	plan    *instructions
	program int // of this program's file
	proc    int
	user    User
}

// openCompanions prepares for the start of companions, nil if the task has none.
func openCompanions(plan *instructions, proc int) (c *companions, err error) {
	if len(plan.Companions) == 0 {
		return nil, nil
	}
	c = &companions{plan: plan, proc: proc}
	if c.user, err = companionUser(proc); err != nil {
		return nil, err
	}
	low, err := unix.Open(self, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", self, err)
	}
	defer unix.Close(low)
	if c.program, err = above(low); err != nil {
		return nil, err
	}
	return c, nil
}

// above duplicates a descriptor, to a number that no companion's file has.
func above(fd int) (int, error) {
	number, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, lowestProgramFD)
	if err != nil {
		return notOpen, fmt.Errorf("duplicating descriptor %d: %w", fd, err)
	}
	return number, nil
}

// start starts the companions that are inside of the task's network namespace, or those
// that are not, with their keepers. Nobody waits for their ends: they end with the task.
func (c *companions) start(inside bool) error {
	if c == nil {
		return nil
	}
	for i := range c.plan.Companions {
		companion := &c.plan.Companions[i]
		if companion.Inside != inside {
			continue
		}
		if err := c.startOne(companion, c.plan.Inherited.Companions[i]); err != nil {
			return fmt.Errorf("starting %s: %w", path.Base(companion.Name), err)
		}
	}
	return nil
}

func (c *companions) close() {
	if c != nil {
		closeAll(c.program)
	}
}

func (c *companions) startOne(companion *Companion, files []int) error {
	var filter seccomp.Program
	if err := filter.UnmarshalBinary(companion.Filter); err != nil {
		return err
	}
	if len(filter) == 0 {
		return fmt.Errorf("it has no filter, expected one")
	}
	var ruleset *os.File
	if companion.Ruleset != nil {
		// Its own program, if that is a file and not in memory.
		opened, err := companion.Ruleset.Open(landlock.FileRule{FD: uintptr(c.program), Access: landlock.Execute})
		if err != nil {
			return err
		}
		defer opened.Close()
		high, err := above(int(opened.Fd()))
		if err != nil {
			return err
		}
		ruleset = os.NewFile(uintptr(high), "ruleset")
		defer ruleset.Close()
	}
	var high []int
	defer func() { closeAll(high...) }()
	for _, fd := range files {
		to, err := above(fd)
		if err != nil {
			return err
		}
		high = append(high, to)
	}
	var s sequence
	if err := c.enterKeeper(&s, companion, high, ruleset, filter); err != nil {
		return err
	}
	child, err := s.run(c.plan.Inherited.Cgroups.Unified, c.proc)
	if err != nil {
		return err
	}
	unix.Close(child.pidfd)
	closeAll(files...)
	return nil
}

// enterKeeper lists what a child does to confine itself and become a companion's keeper,
// as enter does it for a task.
func (c *companions) enterKeeper(s *sequence, companion *Companion, files []int, ruleset *os.File, filter seccomp.Program) error {
	s.begin("setsid(2)")
	s.call(unix.SYS_SETSID)
	s.begin("descriptor 0") // in the foreground it is the task's
	s.call(unix.SYS_DUP3, 1, 0, 0)
	joinCgroups(s, c.plan.Inherited.Cgroups.Tasks)
	// The supervisor's own would have the kernel kill all else first: what a companion
	// uses is the task's doing.
	if err := c.plan.Confinement.adjustOOM(s, c.proc); err != nil {
		return err
	}
	setLimits(s, []Limit{{unix.RLIMIT_NOFILE, companion.OpenFiles, companion.OpenFiles}, {unix.RLIMIT_CORE, 0, 0}})
	inheritNothing(s)
	l := launch{Confinement: &Confinement{User: c.user}, filter: filter, tied: true}
	if err := l.confine(s, ruleset); err != nil {
		return err
	}
	// Last: until now, other files may have had these numbers.
	for i, fd := range files {
		s.begin("descriptor %d", firstCompanionFD+i)
		s.call(unix.SYS_DUP3, uintptr(fd), uintptr(firstCompanionFD+i), 0)
	}
	program := firstCompanionFD + len(files)
	s.begin("descriptor %d", program)
	s.call(unix.SYS_DUP3, uintptr(c.program), uintptr(program), 0)
	return executeOpen(s, program, []string{keeperName, companion.Name, strconv.Itoa(program)}, companion.Env)
}

// firstCompanionFD is that of the first of a companion's files.
const firstCompanionFD = 3

// executeOpen executes a program by a descriptor of its file, execveat(2).
func executeOpen(s *sequence, fd int, args, env []string) error {
	argv, err := s.texts(args)
	if err != nil {
		return err
	}
	envp, err := s.texts(env)
	if err != nil {
		return err
	}
	none, err := s.text("")
	if err != nil {
		return err
	}
	s.begin("executing descriptor %d", fd)
	s.call(unix.SYS_EXECVEAT, uintptr(fd), none, argv, envp, unix.AT_EMPTY_PATH).Last = true
	return nil
}
