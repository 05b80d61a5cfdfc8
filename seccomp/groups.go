// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package seccomp

// Group is a named list of system calls, each with the reason for denying it.
type Group struct {
	Name    string
	Entries []Entry
}

// Entry is a system call and what a program could do with it.
type Entry struct {
	Syscall string
	Why     string
}

// Names returns the system calls of the group, sorted.
func (g *Group) Names() []string {
	names := make([]string, len(g.Entries))
	for i, e := range g.Entries {
		names[i] = e.Syscall
	}
	return names
}

// Baseline are the calls that no confined program gets.
var Baseline = &Group{Name: "baseline", Entries: []Entry{
	{"bpf", "loads programs into the kernel"},
	{"delete_module", "unloads kernel modules"},
	{"fanotify_init", "watches, and can hold up, file accesses of other processes"},
	{"finit_module", "loads kernel modules"},
	{"init_module", "loads kernel modules"},
	{"kexec_file_load", "replaces the running kernel"},
	{"kexec_load", "replaces the running kernel"},
	{"mount", "changes what paths mean"},
	{"open_by_handle_at", "opens files by inode, past every path check"},
	{"perf_event_open", "observes other processes and the kernel"},
	{"process_vm_readv", "reads another process's memory"},
	{"process_vm_writev", "writes another process's memory"},
	{"ptrace", "takes over other processes"},
	{"reboot", "stops the machine"},
	{"swapoff", "changes the machine's memory"},
	{"swapon", "changes the machine's memory"},
	{"umount2", "uncovers what a mount hides"},
	{"userfaultfd", "halts the kernel at chosen moments, which makes its races easy to win"},
}}

// Network are the calls that open or use sockets, and io_uring, which can do
// the same without them.
var Network = &Group{Name: "network", Entries: []Entry{
	{"accept", "takes connections"},
	{"accept4", "takes connections"},
	{"bind", "gives a socket an address"},
	{"connect", "opens connections"},
	{"io_uring_enter", "runs socket operations past this list"},
	{"io_uring_register", "runs socket operations past this list"},
	{"io_uring_setup", "runs socket operations past this list"},
	{"listen", "offers a service"},
	{"recvfrom", "receives from sockets"},
	{"recvmmsg", "receives from sockets"},
	{"recvmsg", "receives from sockets, and descriptors through them"},
	{"sendmmsg", "sends through sockets"},
	{"sendmsg", "sends through sockets, and descriptors with it"},
	{"sendto", "sends through sockets"},
	{"socket", "makes sockets"},
	{"socketpair", "makes sockets"},
}}

// Groups are all groups, in the order in which policies add them.
var Groups = []*Group{Baseline, Network}
