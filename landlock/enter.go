// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package landlock

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// Flags select how [Enter] restricts, the LANDLOCK_RESTRICT_SELF_* bits of
// linux/landlock.h. A kernel refuses those that its ABI lacks with EINVAL, see
// [ABI.Rights].
type Flags uint32

// The flags, in the kernel's order.
const (
	// LogSameExecOff keeps denials out of the audit log until the next exec.
	LogSameExecOff Flags = unix.LANDLOCK_RESTRICT_SELF_LOG_SAME_EXEC_OFF
	// LogNewExecOn has the audit log also tell of denials after the next exec.
	LogNewExecOn Flags = unix.LANDLOCK_RESTRICT_SELF_LOG_NEW_EXEC_ON
	// LogSubdomainsOff keeps denials by rulesets that are entered later, from
	// within this one, out of the audit log.
	LogSubdomainsOff Flags = unix.LANDLOCK_RESTRICT_SELF_LOG_SUBDOMAINS_OFF
	// AllThreads restricts every thread of the process, not the calling one only.
	AllThreads Flags = unix.LANDLOCK_RESTRICT_SELF_TSYNC
	// NoNewPrivs has the kernel set no_new_privs together with the restriction,
	// and not at all if that fails.
	NoNewPrivs Flags = 1 << 4 // LANDLOCK_RESTRICT_SELF_NO_NEW_PRIVS
)

var flagNames = []string{"log_same_exec_off", "log_new_exec_on", "log_subdomains_off", "tsync", "no_new_privs"}

// String prints the set: {log_new_exec_on,tsync}.
func (f Flags) String() string { return setString(uint64(f), flagNames) }

// Call is a system call that a thread makes to enter. [Enter] makes it; a child that
// shares its parent's memory until execve(2), and may not run Go's code, makes the
// same by other means.
type Call struct {
	Name   string // for errors
	Number uintptr
	Args   [3]uintptr
}

// EnterCalls are the system calls of [Enter], in their order. Each must succeed, or the
// thread must not go on.
func EnterCalls(ruleset *os.File, flags Flags) []Call {
	restrict := Call{fmt.Sprintf("landlock_restrict_self(2) with flags %v", flags), unix.SYS_LANDLOCK_RESTRICT_SELF, [3]uintptr{ruleset.Fd(), uintptr(flags)}}
	if flags&NoNewPrivs != 0 {
		return []Call{restrict}
	}
	return []Call{{"prctl(PR_SET_NO_NEW_PRIVS)", unix.SYS_PRCTL, [3]uintptr{unix.PR_SET_NO_NEW_PRIVS, 1}}, restrict}
}

// Enter puts the calling thread, and all that it starts from now on, under the
// ruleset that [Ruleset.Open] made. It sets no_new_privs first, without which
// the kernel lets only a privileged thread enter, unless flags leave that to
// the kernel. Neither can be undone.
//
// Without [AllThreads], other threads of the process stay as they are: lock the
// goroutine to its thread (runtime.LockOSThread) and exec from it.
func Enter(ruleset *os.File, flags Flags) error {
	for _, c := range EnterCalls(ruleset, flags) {
		if _, _, errno := unix.Syscall6(c.Number, c.Args[0], c.Args[1], c.Args[2], 0, 0, 0); errno != 0 {
			return fmt.Errorf("landlock: %s: %w", c.Name, errno)
		}
	}
	runtime.KeepAlive(ruleset) // its descriptor is closed with it
	return nil
}

// Denied returns nil if the calling thread is not allowed to open the
// directory dir, which it is after [Enter] if the ruleset handles [ReadDir] and
// no rule covers dir. It is the proof that the kernel enforces the ruleset:
// return codes alone were wrong before.
func Denied(dir string) error {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err == nil {
		unix.Close(fd)
	}
	return denied("opening "+dir, err, unix.EACCES)
}

func denied(what string, err error, want unix.Errno) error {
	switch {
	case err == nil:
		return fmt.Errorf("landlock: %s still works: the kernel does not enforce the ruleset", what)
	case errors.Is(err, want):
		return nil
	}
	return fmt.Errorf("landlock: %s: %w, expected %s", what, err, unix.ErrnoName(want))
}
