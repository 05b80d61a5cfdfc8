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
// [Is], [IsNot], [MaskedIs]. [Combine] makes one filter of several groups, and [Only]
// one by which all calls fail but those of a list. A call by another architecture's
// entry (i386's int 0x80, or x32) kills the process: its numbers mean other calls, so
// a list of numbers says nothing about it.
//
// The filters look at the architecture and the number, and of calls with conditions at
// the lower half of an argument, which is all that the kernel takes of an int, or, by
// [Arg.UpperHalf], at the upper one. The kernel (5.11 and newer) remembers for each
// number that such a filter allows whatever the arguments are, and does not run the
// filter for it again: the call costs the same whatever the length of the list. For
// calls whose arguments decide, it runs the filter every time.
//
// Sources: seccomp(2), Documentation/userspace-api/seccomp_filter.rst.
package seccomp

//go:generate go run gen.go
