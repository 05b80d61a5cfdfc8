// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package executor

import (
	"errors"
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/seccomp"
)

// undumpable keeps other processes from looking into this one by /proc or
// ptrace(2), and the kernel from writing its memory to a core dump: it holds a
// task's environment, and more capabilities than any task.
func undumpable() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("prctl(PR_SET_DUMPABLE): %w", err)
	}
	return nil
}

// dropPrivileges gives up what this process does not need once its program executes:
// capabilities, and what the filter denies. It goes for all threads, and cannot be
// undone.
//
// The capability bounding set is left as it is: no program can be executed any
// more, and under no_new_privs none would gain from it.
func dropPrivileges(searchProc bool, own seccomp.Program) error {
	keep := []int{unix.CAP_KILL}
	if searchProc {
		keep = append(keep, unix.CAP_SYS_PTRACE) // what hidepid asks for
	}
	had, err := permitted()
	if err != nil {
		return err
	}
	if err := setThreadsCapabilities(capabilitySet(keep) & had); err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("prctl(PR_SET_NO_NEW_PRIVS): %w", err)
	}
	return seccomp.InstallAll(own)
}

// setThreadsCapabilities makes the set the effective and permitted one of every
// thread, and empties the others.
func setThreadsCapabilities(set uint64) error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	data := [2]unix.CapUserData{
		{Effective: uint32(set), Permitted: uint32(set)},
		{Effective: uint32(set >> 32), Permitted: uint32(set >> 32)},
	}
	_, _, errno := syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&data[0])), 0)
	if errors.Is(errno, unix.ENOTSUP) {
		// A build with cgo, as those of tests are, where threads may not be Go's.
		return unix.Capset(&header, &data[0])
	}
	if errno != 0 {
		return fmt.Errorf("reducing the capabilities to %#x: %w", set, errno)
	}
	return nil
}

// noLogs stands for no directory.
const noLogs = -1

// supervisorFilter is for a process that waits, sends signals, and reads and writes what
// it has open: it opens and changes no files, executes nothing, and has no network.
// searchProc lets it look for processes, and logs is the directory in which it makes
// and removes the task's log files, noLogs if it does not.
func supervisorFilter(searchProc bool, logs int) *seccomp.Filter {
	filter := seccomp.Combine(seccomp.Baseline, seccomp.Always, seccomp.Network)
	for _, name := range []string{
		"execve", "execveat", "setns", "unshare", "chroot", "pivot_root", "move_mount", "open_tree",
		"open", "openat2", "creat", "truncate", "rename", "renameat", "renameat2", "link", "linkat", "symlink", "symlinkat",
		"unlink", "mkdir", "mkdirat", "rmdir", "mknod", "mknodat",
		"chmod", "fchmod", "fchmodat", "fchmodat2", "chown", "lchown", "fchown", "fchownat", "setxattr", "lsetxattr", "fsetxattr",
		"setuid", "setgid", "setreuid", "setregid", "setresuid", "setresgid", "setgroups", "setfsuid", "setfsgid", "capset",
		"pidfd_getfd",
	} {
		filter.Rules = append(filter.Rules, seccomp.Rule{Syscall: name})
	}
	opening, removing := seccomp.Rule{Syscall: "openat"}, seccomp.Rule{Syscall: "unlinkat"}
	if logs != noLogs {
		in := seccomp.Args{{Index: 0, Values: []uint32{uint32(logs)}}}
		opening.Admit, removing.Admit = []seccomp.Args{in}, []seccomp.Args{in}
	}
	if searchProc {
		const flags, change = 2, unix.O_ACCMODE | unix.O_CREAT | unix.O_TRUNC
		opening.Admit = append(opening.Admit, seccomp.Args{{Index: flags, Mask: change, Values: []uint32{unix.O_RDONLY}}})
	}
	filter.Rules = append(filter.Rules, opening, removing)
	return filter
}
