// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Package seccomp compiles lists of system calls into seccomp filters, and
// installs them.
//
//	arch, err := seccomp.Native()
//	program, err := seccomp.Compile(arch, seccomp.Deny("mount", "ptrace"))
//	runtime.LockOSThread()         // Install is for the calling thread
//	err = seccomp.Install(program) // needs no_new_privs, which landlock.Enter sets
//
// The calls on the list fail with EPERM, all others are allowed. A [Rule] can say
// another error, and under which conditions on its arguments a call is admitted:
// [Is], [IsNot], [MaskedIs]. [Combine] makes one filter of several groups. A call by
// another architecture's entry (i386's int 0x80, or x32) kills the process: its
// numbers mean other calls, so a list of numbers says nothing about it.
//
// The filters look at the architecture and the number, and of a few calls at the
// arguments, as the kernel does: at the lower half of an int. The kernel (5.11
// and newer) remembers for each number that such a filter allows it, and does
// not run the filter for it again: an allowed call costs the same whatever the
// length of the list. It does for those whose arguments decide.
//
// Sources: seccomp(2), Documentation/userspace-api/seccomp_filter.rst.
package seccomp

//go:generate go run gen.go
