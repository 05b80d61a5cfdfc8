// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package executor

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/executor/birth"
	"github.com/burin-labs/nomad-driver-harn/landlock"
	"github.com/burin-labs/nomad-driver-harn/seccomp"
)

// launch is a program to start, and what it enters before.
type launch struct {
	Process     *Process
	Confinement *Confinement
	// filter is that of Confinement, compiled; empty if there is none to enter.
	filter seccomp.Program
	stdio  stdio
	// terminal: descriptor 0 is to be its controlling terminal.
	terminal bool
	cgroups  *cgroups
	// fds is a descriptor of this process's /proc/self/fd if that is not in the
	// /proc that it sees, landlock.OwnProc if it is.
	fds int
}

// reopen lets a program open its own descriptors again, by /dev/stdout and the
// like.
func reopen(std stdio) []landlock.FileRule {
	access := [3]landlock.AccessFS{landlock.ReadFile, landlock.WriteFile, landlock.WriteFile}
	var rules []landlock.FileRule
	for i, f := range std {
		rule := landlock.FileRule{FD: f.Fd(), Access: access[i]}
		if _, err := unix.IoctlGetTermios(int(rule.FD), unix.TCGETS); err == nil {
			rule.Access = landlock.ReadFile | landlock.WriteFile | landlock.IoctlDev
		}
		rules = append(rules, rule)
	}
	return rules
}

// start starts the program, under the confinement, and returns when it executes,
// or with the reason why it does not. The caller has called closeOnExec before.
func (l *launch) start() (*child, error) {
	var ruleset *os.File
	if l.Confinement.Ruleset != nil {
		var err error
		if ruleset, err = l.Confinement.Ruleset.OpenWhere(l.fds, reopen(l.stdio)...); err != nil {
			return nil, err
		}
		defer ruleset.Close()
	}
	var s sequence
	if err := l.enter(&s, ruleset); err != nil {
		return nil, err
	}
	return s.run(l.cgroups.Unified)
}

// enter lists what a child does to confine itself and execute the program. The
// order matters: each step says why it stands where it does.
//
// The child shares this process's memory, which nobody but root may look into: not
// with the task's user, whose process it becomes, either.
func (l *launch) enter(s *sequence, ruleset *os.File) error {
	c := l.Confinement
	l.enterSession(s)
	// First the resources, while there is the privilege to choose them. Were
	// this later, what the child itself uses would count against nobody.
	joinCgroups(s, l.cgroups.Tasks)
	if !c.Unprivileged || c.OOMScoreAdj != 0 {
		if err := setOOMScoreAdj(s, c.OOMScoreAdj); err != nil {
			return err
		}
	}
	if !c.Unprivileged || c.Nice != 0 {
		s.begin("setting nice to %d", c.Nice)
		s.call(unix.SYS_SETPRIORITY, unix.PRIO_PROCESS, 0, uintptr(c.Nice))
	}
	setLimits(s, c.Limits)

	// The session keyring is inherited like a descriptor: the task would possess
	// the agent's keys, session-keyring(7).
	s.begin("making a session keyring")
	// No keyrings in this kernel, or not in the agent's container: so there are none to inherit.
	tolerate(s.call(unix.SYS_KEYCTL, unix.KEYCTL_JOIN_SESSION_KEYRING), unix.ENOSYS, unix.EPERM)

	// The bounding set needs CAP_SETPCAP, so it is reduced before the user
	// changes. A task of root could otherwise regain capabilities by exec.
	keep := capabilitySet(c.Capabilities)
	reduceBoundingSet(s, keep, c.Unprivileged)
	// Changing the user clears the other sets, unless it is root again: they
	// are set explicitly. From here on, a mistake is one of the task's user.
	if !c.Unprivileged {
		if err := c.User.validate(); err != nil {
			return err
		}
		becomeUser(s, c.User, keep != 0)
		proveUser(s, c.User)
	}
	setCapabilities(s, keep)
	// Other processes of this user must not look into this one: it still holds
	// what the task is not to see. That the user changed may have undone it. Exec
	// makes a new image, with its own setting.
	s.begin("prctl(PR_SET_DUMPABLE)")
	s.call(unix.SYS_PRCTL, unix.PR_SET_DUMPABLE, 0)
	// As the user, so that its permissions decide; before Landlock, which does
	// not mediate chdir(2), but would hide why it fails.
	dir, err := s.text(l.Process.Dir)
	if err != nil {
		return fmt.Errorf("working directory: %w", err)
	}
	s.begin("working directory %s", l.Process.Dir).hint = func(err error) string { return hintAccess(err, c.User) }
	s.call(unix.SYS_CHDIR, dir)

	// Setuid programs gain nothing from now on. Landlock and seccomp of an
	// unprivileged thread need it.
	s.begin("prctl(PR_SET_NO_NEW_PRIVS)")
	s.call(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1)
	// Only 0, 1 and 2 pass exec: an open file is access that neither Landlock nor
	// seccomp would ask about again. They are closed by exec, not now: the ruleset
	// is among them. Before Linux 5.11, what who starts the child has marked when it
	// began has to do: it opens nothing else that passes.
	s.begin("closing descriptors")
	tolerate(s.call(unix.SYS_CLOSE_RANGE, 3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC), unix.ENOSYS, unix.EINVAL)
	// What a program inherits but cannot know: ignored and blocked signals, the umask.
	resetSignals(s)
	s.begin("umask(2)")
	s.call(unix.SYS_UMASK, 0o022)

	// Landlock before seccomp, whose filter could deny it. The ruleset was opened
	// before the task's user came in: a path is not looked up again here.
	if ruleset != nil {
		s.begin("landlock: landlock_restrict_self(2) with flags %v", c.LandlockFlags)
		s.call(unix.SYS_LANDLOCK_RESTRICT_SELF, ruleset.Fd(), uintptr(c.LandlockFlags))
		// Success is not taken from a return code: what no rule admits must fail.
		root, err := s.text("/")
		if err != nil {
			return err
		}
		s.begin("landlock: opening /").without = " still works: the kernel does not enforce the ruleset"
		const flags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC
		here := unix.AT_FDCWD
		s.call(unix.SYS_OPENAT, uintptr(here), root, flags).Fails = birth.Errno(unix.EACCES)
	}
	// Seccomp last: it would stand in the way of the steps before. After it
	// there is only exec.
	if len(l.filter) > 0 {
		s.begin("seccomp: installing a filter of %d instructions", len(l.filter))
		var flags uintptr
		if c.LogFilter {
			flags = unix.SECCOMP_FILTER_FLAG_LOG
		}
		program := address(&s.memory, unix.SockFprog{Len: uint16(len(l.filter)), Filter: &l.filter[0]})
		s.call(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, program)
	}
	return l.execute(s)
}

// enterSession makes the child the leader of a session, with its descriptors.
func (l *launch) enterSession(s *sequence) {
	s.begin("setsid(2)")
	s.call(unix.SYS_SETSID)
	for to, f := range l.stdio {
		s.begin("descriptor %d", to)
		if from := f.Fd(); from != uintptr(to) {
			s.call(unix.SYS_DUP3, from, uintptr(to), 0)
		} else {
			s.call(unix.SYS_FCNTL, from, unix.F_SETFD, 0)
		}
	}
	if l.terminal {
		s.begin("making descriptor 0 the controlling terminal")
		s.call(unix.SYS_IOCTL, 0, unix.TIOCSCTTY, 1)
	}
}

func setOOMScoreAdj(s *sequence, to int) error {
	file, err := s.text("/proc/self/oom_score_adj")
	if err != nil {
		return err
	}
	text := []byte(strconv.Itoa(to))
	s.memory = append(s.memory, text)
	s.begin("setting oom_score_adj to %d", to)
	here := unix.AT_FDCWD
	s.call(unix.SYS_OPENAT, uintptr(here), file, unix.O_WRONLY|unix.O_CLOEXEC)
	s.call(unix.SYS_WRITE, 0, uintptr(unsafe.Pointer(&text[0])), uintptr(len(text))).OfLast = true
	return nil
}

// setLimits sets the resource limits of a plan. That of open files is otherwise
// the one that the agent has, without what Go makes of it.
func setLimits(s *sequence, limits []Limit) {
	set := func(resource int, soft, hard uint64) {
		s.begin("setting resource limit %d to %d:%d", resource, soft, hard)
		s.call(unix.SYS_PRLIMIT64, 0, uintptr(resource), address(&s.memory, birth.Limit{Soft: soft, Hard: hard}))
	}
	if files := birth.OpenFiles; files.Hard != 0 {
		set(unix.RLIMIT_NOFILE, files.Soft, files.Hard)
	}
	for _, limit := range limits {
		set(limit.Resource, limit.Soft, limit.Hard)
	}
}

// execute executes the program. A name without a slash is looked up in the
// PATH of its environment, execvp(3): by the child, which sees files as the
// program will see them.
func (l *launch) execute(s *sequence) error {
	p := l.Process
	args, err := s.texts(p.Args)
	if err != nil {
		return fmt.Errorf("arguments of %s: %w", p.Path, err)
	}
	env, err := s.texts(p.Env)
	if err != nil {
		return fmt.Errorf("environment of %s: %w", p.Path, err)
	}
	hint := func(err error) string { return hintExec(err, l.Confinement.User) }
	try := func(name string) (*birth.Call, error) {
		file, err := s.text(name)
		if err != nil {
			return nil, fmt.Errorf("executing %s: %w", name, err)
		}
		s.begin("executing %s", name).hint = hint
		call := s.call(unix.SYS_EXECVE, file, args, env)
		call.Last = true
		return call, nil
	}
	if strings.Contains(p.Path, "/") {
		_, err := try(p.Path)
		return err
	}
	var search string
	for _, variable := range p.Env {
		if value, ok := strings.CutPrefix(variable, "PATH="); ok {
			search = value
		}
	}
	s.nothing = fmt.Sprintf("executing %s: it was not found in PATH (%s)", p.Path, search)
	for dir := range strings.SplitSeq(search, ":") {
		if !path.IsAbs(dir) {
			continue
		}
		call, err := try(path.Join(dir, p.Path))
		if err != nil {
			return err
		}
		tolerate(call, unix.ENOENT, unix.ENOTDIR)
	}
	return nil
}

// closeOnExec marks all descriptors above 2 to be closed by exec.
func closeOnExec() error {
	err := unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC)
	if err == nil {
		return nil
	}
	// Before Linux 5.11 there is no such flag.
	dir, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return fmt.Errorf("closing descriptors: %w", err)
	}
	for _, entry := range dir {
		if fd, err := strconv.Atoi(entry.Name()); err == nil && fd > 2 {
			unix.CloseOnExec(fd)
		}
	}
	return nil
}

// resetSignals sets all signals to their default, and blocks none. Ignored
// signals would stay ignored: the agent may have been started by nohup(1).
func resetSignals(s *sequence) {
	const maskSize = 8
	byDefault := address(&s.memory, struct { // sigaction of the kernel, not of libc
		handler  uintptr
		flags    uint64
		restorer uintptr
		mask     uint64
	}{})
	s.begin("resetting signal %d").each = 1
	for sig := uintptr(1); sig <= 64; sig++ {
		if sig != uintptr(unix.SIGKILL) && sig != uintptr(unix.SIGSTOP) {
			s.call(unix.SYS_RT_SIGACTION, sig, byDefault, 0, maskSize)
		}
	}
	s.begin("unblocking signals")
	s.call(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, address(&s.memory, uint64(0)), 0, maskSize)
}

func hintAccess(err error, u User) string {
	if errors.Is(err, unix.EACCES) {
		return fmt.Sprintf(" (for user %d, group %d)", u.UID, u.GID)
	}
	return ""
}

func hintExec(err error, u User) string {
	switch {
	case errors.Is(err, unix.EACCES):
		return fmt.Sprintf(" (for user %d, group %d): the file, or the interpreter that it names, is not executable for this user, or outside of every root of the policy", u.UID, u.GID)
	case errors.Is(err, unix.ENOENT):
		return ": it is not in the task's view of the file system, or the interpreter that its first line names, or its dynamic loader, is not"
	case errors.Is(err, unix.ENOEXEC):
		return `: it is neither a program for this machine nor a script that begins with "#!"`
	}
	return ""
}
