// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package seccomp

// Baseline are the calls that no confined program gets.
var Baseline = group("baseline", []Entry{
	deny("bpf", "loads programs into the kernel"),
	deny("delete_module", "unloads kernel modules"),
	deny("fanotify_init", "watches, and can hold up, file accesses of other processes"),
	deny("finit_module", "loads kernel modules"),
	deny("init_module", "loads kernel modules"),
	deny("kexec_file_load", "replaces the running kernel"),
	deny("kexec_load", "replaces the running kernel"),
	deny("mount", "changes what paths mean"),
	deny("open_by_handle_at", "opens files by inode, past every path check"),
	deny("perf_event_open", "observes other processes and the kernel"),
	deny("process_vm_readv", "reads another process's memory"),
	deny("process_vm_writev", "writes another process's memory"),
	deny("ptrace", "takes over other processes"),
	deny("reboot", "stops the machine"),
	deny("swapoff", "changes the machine's memory"),
	deny("swapon", "changes the machine's memory"),
	deny("umount2", "uncovers what a mount hides"),
	deny("userfaultfd", "halts the kernel at chosen moments, which makes its races easy to win"),
})

// Mounts are the calls besides those of Baseline that Landlock denies to every
// program in a domain: for kernels without it.
var Mounts = group("mounts", []Entry{
	deny("move_mount", "changes what paths mean"),
	deny("pivot_root", "changes what paths mean"),
})

// ioUring runs the operations of other calls, where no filter sees them.
var ioUring = []Entry{
	deny("io_uring_enter", "runs socket and file operations past this filter"),
	deny("io_uring_register", "runs socket and file operations past this filter"),
	deny("io_uring_setup", "runs socket and file operations past this filter"),
}

// Groups are all groups. Baseline, Mounts and Hardened go with any other; of the rest,
// those for networks are alternatives, see each.
var Groups = []*Group{Baseline, Mounts, Hardened, Network, LocalIPC, UnixOnly, Families, TCPOnly, NoListen}
