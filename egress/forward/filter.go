// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package forward

import (
	"slices"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/seccomp"
)

// runtimeCalls are those of Go's runtime, which has threads, memory, clocks and signals
// of its own process.
var runtimeCalls = []string{
	"arch_prctl", "brk", "clock_getres", "clock_gettime", "clock_nanosleep", "close", "epoll_create1", "epoll_ctl", "epoll_pwait",
	"eventfd2", "exit", "exit_group", "fcntl", "fstat", "futex", "getpid", "getppid", "getrandom", "getrlimit", "getrusage", "gettid",
	"gettimeofday", "lseek", "madvise", "mincore", "mmap", "mprotect", "munmap", "nanosleep", "pipe2", "pread64", "prlimit64", "read",
	"restart_syscall", "rseq", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sched_getaffinity", "sched_yield", "set_robust_list",
	"set_tid_address", "setrlimit", "sigaltstack", "tgkill", "uname", "write",
}

// socketCalls are those of sockets, but for what would offer a service (bind, listen),
// and for what could pass descriptors (sendmsg, recvmsg).
var socketCalls = []string{
	"accept4", "connect", "getpeername", "getsockname", "getsockopt", "recvfrom", "setsockopt", "shutdown", "splice",
}

// startCalls are what it takes to become a forwarder, and to start one anew.
var startCalls = []string{
	"capget", "capset", "dup3", "execveat", "getgroups", "getresgid", "getresuid",
	"prctl", "seccomp", "setgroups", "setresgid", "setresuid", "wait4",
}

// sockets are of TCP and UDP, and to ask for routes: without capabilities, nothing can be
// changed by them.
var sockets = seccomp.Rule{Syscall: "socket", Admit: []seccomp.Args{
	{
		{Index: 0, Values: []uint32{unix.AF_INET, unix.AF_INET6}},
		{Index: 1, Mask: socketTypes, Values: []uint32{unix.SOCK_STREAM, unix.SOCK_DGRAM}},
		{Index: 2, Values: []uint32{unix.IPPROTO_IP, unix.IPPROTO_TCP, unix.IPPROTO_UDP}},
	},
	{
		{Index: 0, Values: []uint32{unix.AF_NETLINK}},
		{Index: 1, Mask: socketTypes, Values: []uint32{unix.SOCK_RAW}},
		{Index: 2, Values: []uint32{unix.NETLINK_ROUTE}},
	},
}}

// socketTypes are the bits of a socket's type without its flags, SOCK_TYPE_MASK of
// linux/net.h.
const socketTypes = 0xf

// sending is without TCP Fast Open, which connects past Landlock's rules for ports.
var sending = seccomp.Rule{Syscall: "sendto", Admit: []seccomp.Args{
	{seccomp.MaskedIs(3, unix.MSG_FASTOPEN, 0)},
}}

// threads are new ones of the same process.
var threads = seccomp.Rule{Syscall: "clone", Admit: []seccomp.Args{
	{{Index: 0, Mask: unix.CLONE_THREAD, Values: []uint32{unix.CLONE_THREAD}}},
}}

// StartFilter says what a forwarder can do from its birth on, and who starts it anew: no
// file can be opened, and nothing be executed but what is open.
func StartFilter() *seccomp.Filter {
	return seccomp.Only(append(seccomp.Admit(slices.Concat(runtimeCalls, socketCalls, startCalls, []string{"clone"})...), sockets, sending)...)
}

// Filter says what a forwarder can do once it has begun: nothing can be executed, and
// no process be made.
func Filter() *seccomp.Filter {
	return seccomp.Only(append(seccomp.Admit(slices.Concat(runtimeCalls, socketCalls)...), sockets, sending, threads)...)
}
