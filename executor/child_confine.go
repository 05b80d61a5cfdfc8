// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package executor

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/executor/vfork"
	"github.com/burin-labs/nomad-driver-harn/internal/plain"
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
	// proc is a descriptor of a /proc that shows the child.
	proc int
	// tied: the program is killed when this process ends.
	tied bool
	// born is as in sequence.
	born *int32
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
	s := sequence{born: l.born}
	if err := l.enter(&s, ruleset); err != nil {
		return nil, err
	}
	return s.run(l.cgroups.Unified, l.proc)
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
	if err := c.adjustOOM(s, l.proc); err != nil {
		return err
	}
	if !c.Unprivileged || c.Nice != 0 {
		s.begin("setting nice to %d", c.Nice)
		s.call(unix.SYS_SETPRIORITY, unix.PRIO_PROCESS, 0, uintptr(c.Nice))
	}
	setLimits(s, c.Limits)
	inheritNothing(s)
	if err := l.confine(s, ruleset); err != nil {
		return err
	}
	// As the user, so that its permissions decide. Landlock does not mediate chdir(2).
	dir, err := s.text(l.Process.Dir)
	if err != nil {
		return fmt.Errorf("working directory: %w", err)
	}
	s.begin("working directory %q", l.Process.Dir).hint = func(err error) string { return hintAccess(err, c.User) }
	s.call(unix.SYS_CHDIR, dir)
	return l.execute(s)
}

// inheritNothing gives up what a program would inherit, but for descriptors 0, 1 and 2.
func inheritNothing(s *sequence) {
	// The session keyring is inherited like a descriptor: the task would possess
	// the agent's keys, session-keyring(7).
	s.begin("making a session keyring")
	// No keyrings in this kernel, or not in the agent's container: so there are none to inherit.
	tolerate(s.call(unix.SYS_KEYCTL, unix.KEYCTL_JOIN_SESSION_KEYRING), unix.ENOSYS, unix.EPERM)

	// What a program inherits but cannot know: ignored and blocked signals, the umask.
	resetSignals(s)
	s.begin("umask(2)")
	s.call(unix.SYS_UMASK, 0o022)
	// Only 0, 1 and 2 pass exec: an open file is access that neither Landlock nor
	// seccomp would ask about again. They are closed by exec, not now: the ruleset
	// is among them. Before Linux 5.11, what who starts the child has marked when it
	// began has to do: it opens nothing else that passes.
	s.begin("closing descriptors")
	tolerate(s.call(unix.SYS_CLOSE_RANGE, 3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC), unix.ENOSYS, unix.EINVAL)
}

// confine gives up privileges and enters Landlock, seccomp and the user of Confinement:
// for a task's program and for its companions.
func (l *launch) confine(s *sequence, ruleset *os.File) error {
	c := l.Confinement
	// The bounding set needs CAP_SETPCAP, so it is reduced before the user
	// changes. A task of root could otherwise regain capabilities by exec.
	keep := capabilitySet(c.Capabilities)
	reduceBoundingSet(s, keep, c.Unprivileged)
	// Setuid programs gain nothing from now on. Landlock and seccomp of an
	// unprivileged thread need it.
	s.begin("prctl(PR_SET_NO_NEW_PRIVS)")
	s.call(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1)

	// Landlock and seccomp before the user: from the moment that this is the task's
	// user, other processes of that user can stop, continue and kill it. By then it
	// can do no more than they can.
	//
	// Landlock before seccomp, whose filter could deny it. The ruleset was opened
	// before the task's user came in: a path is not looked up again here.
	if ruleset != nil {
		if err := enterLandlock(s, ruleset, c.LandlockFlags); err != nil {
			return err
		}
	}
	// What is left after this are calls that no filter of ours denies: all that they
	// do is to give up.
	if len(l.filter) > 0 {
		var flags uintptr
		if c.LogFilter {
			flags = unix.SECCOMP_FILTER_FLAG_LOG
		}
		enterFilter(s, l.filter, flags)
	}

	// Changing the user clears the other sets, unless it is root again: they
	// are set explicitly. From here on, a mistake is one of the task's user.
	if !c.Unprivileged {
		if err := c.User.validate(); err != nil {
			return err
		}
		becomeUser(s, c.User, keep != 0)
	}
	setCapabilities(s, keep)
	// Other processes of this user must not look into this one: it still holds
	// what the task is not to see. That the user changed may have undone it. Exec
	// makes a new image, with its own setting.
	s.begin("prctl(PR_SET_DUMPABLE)")
	s.call(unix.SYS_PRCTL, unix.PR_SET_DUMPABLE, 0)
	if l.tied {
		// To change the user has undone it, if it was set before.
		s.begin("prctl(PR_SET_PDEATHSIG)")
		s.call(unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL))
	}
	return nil
}

// enterLandlock has the child enter a ruleset. Success is not taken from a return code:
// what no rule admits must fail.
func enterLandlock(s *sequence, ruleset *os.File, flags landlock.Flags) error {
	for _, c := range landlock.EnterCalls(ruleset, flags) {
		s.begin("landlock: %s", c.Name)
		s.call(c.Number, c.Args[:]...)
	}
	root, err := s.text("/")
	if err != nil {
		return err
	}
	s.begin("landlock: opening /").without = " still works: the kernel does not enforce the ruleset"
	here := unix.AT_FDCWD
	s.call(unix.SYS_OPENAT, uintptr(here), root, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC).Fails = vfork.Errno(unix.EACCES)
	return nil
}

func enterFilter(s *sequence, filter seccomp.Program, flags uintptr) {
	memory := new(unix.SockFprog)
	s.memory = append(s.memory, memory)
	c := seccomp.InstallCall(filter, flags, memory)
	s.begin("seccomp: %s", c.Name)
	s.call(c.Number, c.Args[:]...)
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

// adjustOOM sets oom_score_adj to that of the task. proc is a descriptor of the host's
// /proc: that of the task is read-only.
func (c *Confinement) adjustOOM(s *sequence, proc int) error {
	if c.Unprivileged && c.OOMScoreAdj == 0 {
		return nil // it stays as it is
	}
	return setOOMScoreAdj(s, proc, c.OOMScoreAdj)
}

func setOOMScoreAdj(s *sequence, proc, to int) error {
	file, err := s.text("self/oom_score_adj")
	if err != nil {
		return err
	}
	text := []byte(strconv.Itoa(to))
	s.memory = append(s.memory, text)
	s.begin("setting oom_score_adj to %d", to)
	s.call(unix.SYS_OPENAT, uintptr(proc), file, unix.O_WRONLY|unix.O_CLOEXEC)
	s.call(unix.SYS_WRITE, 0, uintptr(unsafe.Pointer(&text[0])), uintptr(len(text))).OfLast = true
	return nil
}

// setLimits sets the resource limits of a plan. That of open files is otherwise
// the one that the agent has, without what Go makes of it.
func setLimits(s *sequence, limits []Limit) {
	set := func(resource int, soft, hard uint64) {
		s.begin("setting resource limit %d to %d:%d", resource, soft, hard)
		s.call(unix.SYS_PRLIMIT64, 0, uintptr(resource), address(&s.memory, vfork.Limit{Soft: soft, Hard: hard}))
	}
	if files := vfork.OpenFiles; files.Hard != 0 {
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
		return fmt.Errorf("arguments of %s: %w", plain.Quote(p.Path), err)
	}
	env, err := s.texts(p.Env)
	if err != nil {
		return fmt.Errorf("environment of %s: %w", plain.Quote(p.Path), err)
	}
	hint := func(err error) string { return hintExec(err, l.Confinement.User, p) }
	files, where := p.candidates()
	s.nothing = fmt.Sprintf("executing %s: it was not found in %s", plain.Quote(p.Path), where)
	for _, name := range files {
		file, err := s.text(name)
		if err != nil {
			return fmt.Errorf("executing %s: %w", plain.Quote(name), err)
		}
		s.begin("executing %s", plain.Quote(name)).hint = hint
		call := s.call(unix.SYS_EXECVE, file, args, env)
		call.Last = true
		if len(files) > 1 || name != p.Path {
			tolerate(call, unix.ENOENT, unix.ENOTDIR)
		}
	}
	return nil
}

// candidates are the files that may be the program, in their order, and where they
// are.
func (p *Process) candidates() (files []string, where string) {
	in := func(dirs []string) {
		for _, dir := range dirs {
			if path.IsAbs(dir) {
				files = append(files, path.Join(dir, p.Path))
			}
		}
	}
	if strings.Contains(p.Path, "/") {
		files = []string{p.Path}
		if !path.IsAbs(p.Path) {
			in(p.Near)
		}
		return files, fmt.Sprintf("the working directory (%s)", plain.Name(p.Dir)) + p.near()
	}
	var search string
	for _, variable := range p.Env {
		if value, ok := strings.CutPrefix(variable, "PATH="); ok {
			search = value
		}
	}
	in(strings.Split(search, ":"))
	in(p.Near)
	return files, fmt.Sprintf("PATH (%s)", plain.Name(search)) + p.near()
}

// near says where a program was looked up besides.
func (p *Process) near() string {
	if len(p.Near) == 0 {
		return ""
	}
	return ", nor in " + plain.Names(p.Near)
}

// becomeUser changes all IDs of the child. keepCapabilities lets the permitted set
// pass, until exec.
func becomeUser(s *sequence, u User, keepCapabilities bool) {
	if keepCapabilities {
		s.begin("prctl(PR_SET_KEEPCAPS)")
		s.call(unix.SYS_PRCTL, unix.PR_SET_KEEPCAPS, 1)
	}
	var groups uintptr
	if len(u.Groups) > 0 {
		s.memory = append(s.memory, u.Groups)
		groups = uintptr(unsafe.Pointer(&u.Groups[0]))
	}
	s.begin("setgroups(%v)", u.Groups)
	s.call(unix.SYS_SETGROUPS, uintptr(len(u.Groups)), groups)
	gid, uid := uintptr(u.GID), uintptr(u.UID)
	s.begin("setresgid(%d)", gid)
	s.call(unix.SYS_SETRESGID, gid, gid, gid)
	s.begin("setresuid(%d)", uid)
	s.call(unix.SYS_SETRESUID, uid, uid, uid)
	// That it worked does not say that it did anything: -1 stands for "leave it".
	expectIDs(s, "group", unix.SYS_GETRESGID, u.GID)
	expectIDs(s, "user", unix.SYS_GETRESUID, u.UID)
	expectGroups(s, u.Groups)
}

// expectIDs has the child fail unless its real, effective and saved IDs are id.
func expectIDs(s *sequence, what string, ask uintptr, id uint32) {
	got, want := new([3]uint32), &[3]uint32{id, id, id}
	s.memory = append(s.memory, got, want)
	s.begin("becoming %s %d", what, id).without = ": it is another one: the kernel has not changed it"
	call := s.call(ask, uintptr(unsafe.Pointer(&got[0])), uintptr(unsafe.Pointer(&got[1])), uintptr(unsafe.Pointer(&got[2])))
	expect(call, unsafe.Pointer(got), unsafe.Pointer(want), unsafe.Sizeof(*got))
}

// expectGroups has the child fail unless these are its supplementary groups, in
// whichever order.
func expectGroups(s *sequence, groups []uint32) {
	// Of the list a kernel keeps it makes an ordered one. One number more than
	// there may be: were there more, the call would fail.
	got, want := make([]uint32, len(groups)+1), slices.Sorted(slices.Values(groups))
	s.memory = append(s.memory, got, want)
	s.begin("asking for the supplementary groups, which are to be %v", want).without = ": they are others: the kernel has not changed them"
	call := s.call(unix.SYS_GETGROUPS, uintptr(len(groups)), uintptr(unsafe.Pointer(&got[0])))
	if len(groups) == 0 {
		// A size of 0 asks for their number only. A size of 1 fails if there are more
		// than one, and leaves got as it is if there are none.
		call.Args[0] = 1
		want = make([]uint32, 1)
		s.memory = append(s.memory, want)
		got[0], want[0] = math.MaxUint32, math.MaxUint32 // no group, setgroups(2)
		expect(call, unsafe.Pointer(&got[0]), unsafe.Pointer(&want[0]), 4)
		return
	}
	expect(call, unsafe.Pointer(&got[0]), unsafe.Pointer(&want[0]), 4*uintptr(len(want)))
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

func hintExec(err error, u User, p *Process) string {
	switch {
	case errors.Is(err, unix.E2BIG):
		return ": " + tooBig(p)
	case errors.Is(err, unix.EACCES):
		return fmt.Sprintf(" (for user %d, group %d): the file, or the interpreter that it names, is not executable for this user, or outside of every root of the policy", u.UID, u.GID)
	case errors.Is(err, unix.ENOENT):
		return ": it is not in the task's view of the file system, or the interpreter that its first line names, or its dynamic loader, is not"
	case errors.Is(err, unix.ENOEXEC):
		return `: it is neither a program for this machine nor a script that begins with "#!"`
	}
	return ""
}
