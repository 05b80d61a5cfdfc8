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
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/landlock"
	"github.com/burin-labs/nomad-driver-harn/seccomp"
)

// launch is what a launcher takes of a plan, or of a session's.
type launch struct {
	Process     Process `json:"process"`
	Confinement `json:"confinement"`

	// cgroups is how many files there are to join cgroups by, from cgroupsFD on.
	cgroups int
	ruleset *os.File        // nil if there is none to enter
	filter  seccomp.Program // empty if there is none to install
}

// prepare makes all that can be made before anything is given up.
func (l *launch) prepare() (err error) {
	if l.Ruleset != nil {
		if l.ruleset, err = l.Ruleset.Open(reopen()...); err != nil {
			return err
		}
	}
	if l.Filter != nil {
		arch, err := seccomp.Native()
		if err != nil {
			return err
		}
		if l.filter, err = seccomp.Compile(arch, l.Filter); err != nil {
			return err
		}
	}
	return nil
}

// reopen lets a program open its own descriptors again, by /dev/stdout and the
// like.
func reopen() []landlock.FileRule {
	rules := []landlock.FileRule{
		{FD: 0, Access: landlock.ReadFile},
		{FD: 1, Access: landlock.WriteFile},
		{FD: 2, Access: landlock.WriteFile},
	}
	for i := range rules {
		if _, err := unix.IoctlGetTermios(int(rules[i].FD), unix.TCGETS); err == nil {
			rules[i].Access = landlock.ReadFile | landlock.WriteFile | landlock.IoctlDev
		}
	}
	return rules
}

// enter confines the calling thread and executes the program. It returns only
// if that fails. The order matters: each step says why it stands where it does.
func (l *launch) enter() error {
	// First the resources, while there is the privilege to choose them. Were
	// this later, what the launcher itself uses would count against nobody.
	if err := joinCgroups(l.cgroups); err != nil {
		return err
	}
	if !l.Unprivileged || l.OOMScoreAdj != 0 {
		if err := os.WriteFile("/proc/self/oom_score_adj", []byte(strconv.Itoa(l.OOMScoreAdj)), 0); err != nil {
			return fmt.Errorf("setting oom_score_adj to %d: %w", l.OOMScoreAdj, err)
		}
	}
	if !l.Unprivileged || l.Nice != 0 {
		if err := unix.Setpriority(unix.PRIO_PROCESS, 0, l.Nice); err != nil {
			return fmt.Errorf("setting nice to %d: %w", l.Nice, err)
		}
	}
	for _, limit := range l.Limits {
		if err := unix.Setrlimit(limit.Resource, &unix.Rlimit{Cur: limit.Soft, Max: limit.Hard}); err != nil {
			return fmt.Errorf("setting resource limit %d to %d:%d: %w", limit.Resource, limit.Soft, limit.Hard, err)
		}
	}

	// The session keyring is inherited like a descriptor: the task would possess
	// the agent's keys.
	if err := newSessionKeyring(); err != nil {
		return err
	}

	// The bounding set needs CAP_SETPCAP, so it is reduced before the user
	// changes. A task of root could otherwise regain capabilities by exec.
	keep := capabilitySet(l.Capabilities)
	if err := reduceBoundingSet(keep); err != nil && (!l.Unprivileged || !errors.Is(err, unix.EPERM)) {
		return err // without privileges, no_new_privs has to do: it keeps exec from using the set
	}
	// Changing the user clears the other sets, unless it is root again: they
	// are set explicitly. From here on, a mistake is one of the task's user.
	if !l.Unprivileged {
		if err := becomeUser(l.User, keep != 0); err != nil {
			return err
		}
	}
	if err := setCapabilities(keep); err != nil {
		return err
	}
	// Other processes of this user must not look into this one: it still holds
	// what the task is not to see. Exec makes a new image, with its own setting.
	if err := undumpable(); err != nil {
		return err
	}
	// As the user, so that its permissions decide; before Landlock, which does
	// not mediate chdir(2), but would hide why it fails.
	if err := unix.Chdir(l.Process.Dir); err != nil {
		return fmt.Errorf("working directory %s: %w%s", l.Process.Dir, err, hintAccess(err, l.User))
	}

	// Setuid programs gain nothing from now on. Landlock and seccomp of an
	// unprivileged thread need it.
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("prctl(PR_SET_NO_NEW_PRIVS): %w", err)
	}
	// Only 0, 1 and 2 pass exec: an open file is access that neither Landlock
	// nor seccomp would ask about again. They are closed by exec, not now: the
	// ruleset and the way to report errors are among them.
	if err := closeOnExec(); err != nil {
		return err
	}
	// What a program inherits but cannot know: ignored and blocked signals, the umask.
	if err := resetSignals(); err != nil {
		return err
	}
	unix.Umask(0o022)

	// Landlock before seccomp, whose filter could deny it. The ruleset was opened
	// before the task's user came in: a path is not looked up again here.
	if l.ruleset != nil {
		if err := landlock.Enter(l.ruleset.Fd(), l.LandlockFlags); err != nil {
			return err
		}
		// Success is not taken from a return code: what no rule admits must fail.
		if err := landlock.Denied("/"); err != nil {
			return err
		}
	}
	// Seccomp last: it would stand in the way of the steps before. After it
	// there is only exec.
	if len(l.filter) > 0 {
		install := seccomp.Install
		if l.LogFilter {
			install = seccomp.InstallLogged
		}
		if err := install(l.filter); err != nil {
			return err
		}
	}
	return l.execute()
}

// execute executes the program. A name without a slash is looked up in the
// PATH of its environment, execvp(3): here, where files are seen as the
// program will see them.
func (l *launch) execute() error {
	p := &l.Process
	if strings.Contains(p.Path, "/") {
		err := syscall.Exec(p.Path, p.Args, p.Env)
		return fmt.Errorf("executing %s: %w%s", p.Path, err, hintExec(err, l.User))
	}
	var search string
	for _, variable := range p.Env {
		if value, ok := strings.CutPrefix(variable, "PATH="); ok {
			search = value
		}
	}
	err := fmt.Errorf("executing %s: it was not found in PATH (%s)", p.Path, search)
	for _, dir := range strings.Split(search, ":") {
		if !path.IsAbs(dir) {
			continue
		}
		file := path.Join(dir, p.Path)
		failure := syscall.Exec(file, p.Args, p.Env)
		if !errors.Is(failure, unix.ENOENT) && !errors.Is(failure, unix.ENOTDIR) {
			err = fmt.Errorf("executing %s: %w%s", file, failure, hintExec(failure, l.User))
		}
	}
	return err
}

// newSessionKeyring gives the calling thread an empty session keyring,
// session-keyring(7).
func newSessionKeyring() error {
	_, _, errno := unix.RawSyscall(unix.SYS_KEYCTL, unix.KEYCTL_JOIN_SESSION_KEYRING, 0, 0)
	switch errno {
	case 0, unix.ENOSYS, unix.EPERM: // no keyrings in this kernel, or not in the agent's container: so there are none to inherit
		return nil
	}
	return fmt.Errorf("making a session keyring: %w", errno)
}

// becomeUser changes all IDs of the calling thread. Go's own functions would
// change those of all threads; only this one will execute the program.
// keepCapabilities lets the permitted set pass, until exec.
func becomeUser(u User, keepCapabilities bool) error {
	if keepCapabilities {
		if err := unix.Prctl(unix.PR_SET_KEEPCAPS, 1, 0, 0, 0); err != nil {
			return fmt.Errorf("prctl(PR_SET_KEEPCAPS): %w", err)
		}
	}
	var groups *uint32
	if len(u.Groups) > 0 {
		groups = &u.Groups[0]
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(u.Groups)), uintptr(unsafe.Pointer(groups)), 0); errno != 0 {
		return fmt.Errorf("setgroups(%v): %w", u.Groups, errno)
	}
	gid, uid := uintptr(u.GID), uintptr(u.UID)
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESGID, gid, gid, gid); errno != 0 {
		return fmt.Errorf("setresgid(%d): %w", gid, errno)
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, uid, uid, uid); errno != 0 {
		return fmt.Errorf("setresuid(%d): %w", uid, errno)
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
func resetSignals() error {
	type sigaction struct { // of the kernel, not of libc
		handler  uintptr
		flags    uint64
		restorer uintptr
		mask     uint64
	}
	const maskSize = 8
	for sig := uintptr(1); sig <= 64; sig++ {
		if sig == uintptr(unix.SIGKILL) || sig == uintptr(unix.SIGSTOP) {
			continue
		}
		var byDefault sigaction
		if _, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, sig, uintptr(unsafe.Pointer(&byDefault)), 0, maskSize, 0, 0); errno != 0 {
			return fmt.Errorf("resetting signal %d: %w", sig, errno)
		}
	}
	var none uint64
	if _, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, uintptr(unsafe.Pointer(&none)), 0, maskSize, 0, 0); errno != 0 {
		return fmt.Errorf("unblocking signals: %w", errno)
	}
	return nil
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
