// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package seccomp

import "golang.org/x/sys/unix"

// Hardened are the calls that few programs need and that show an attacker much
// of the kernel. With few exceptions they want a capability that a task does
// not have: the group is for the day when one of the kernel's own checks is wrong.
//
// It looks at the arguments of clone, move_pages, personality and unshare: their
// answers are not remembered by the kernel, those of all other calls are.
//
// A call that the table does not know is as good as missing (ENOSYS): what is
// newer than this program cannot be judged by it. Programs fall back to older
// calls then, as they do on older kernels.
var Hardened = group("hardened", []Entry{
	deny("_sysctl", "reads and writes kernel parameters, past the checks of /proc/sys").with(unix.ENOSYS),
	deny("acct", "has the kernel write a log of all processes to a file"),
	deny("adjtimex", "changes the machine's clock"),
	deny("chroot", "changes what paths mean"),
	deny("clock_adjtime", "changes the machine's clock"),
	deny("clock_settime", "sets the machine's clock"),
	deny("clone", "makes namespaces, a user namespace with every capability in it").
		unless(MaskedIs(0, namespaceFlags, 0)),
	// Its flags are in memory, where no filter sees them. Without it, libc
	// uses clone.
	deny("clone3", "makes namespaces, and a filter cannot see it").with(unix.ENOSYS),
	deny("fanotify_mark", "watches whole file systems"),
	deny("fsconfig", "is part of mounting"),
	deny("fsmount", "is part of mounting"),
	deny("fspick", "is part of mounting"),
	deny("ioperm", "gives access to the machine's ports"),
	deny("iopl", "gives access to the machine's ports"),
	deny("kcmp", "compares kernel objects of processes, and so tells their order in memory"),
	deny("listmount", "lists mounts, with their places on the host").with(unix.ENOSYS),
	deny("listns", "lists namespaces").with(unix.ENOSYS),
	deny("lookup_dcookie", "tells the path of a file by a number"),
	deny("migrate_pages", "moves the memory of other processes"),
	deny("modify_ldt", "makes segments of 16 bits, whose handling has often been wrong"),
	deny("mount_setattr", "changes mounts"),
	deny("move_mount", "changes what paths mean"),
	deny("move_pages", "moves the memory of other processes, and tells where it is").
		unless(Is(0, 0)),
	deny("name_to_handle_at", "names files past every path check"),
	deny("nfsservctl", "controls the NFS server"),
	deny("open_tree", "copies mounts"),
	deny("open_tree_attr", "copies mounts, and changes them"),
	deny("personality", "turns the randomization of addresses off, or makes memory executable").
		unless(Is(0, personalities...)),
	deny("pidfd_getfd", "takes the open files of other processes"),
	deny("pivot_root", "changes what paths mean"),
	deny("process_madvise", "works on the memory of other processes"),
	deny("quotactl", "changes disk quotas"),
	deny("quotactl_fd", "changes disk quotas"),
	deny("setdomainname", "changes the machine's name"),
	deny("sethostname", "changes the machine's name"),
	deny("setns", "enters namespaces"),
	deny("settimeofday", "sets the machine's clock"),
	deny("statmount", "tells about mounts, with their places on the host").with(unix.ENOSYS),
	deny("sysfs", "lists the kernel's file systems; obsolete").with(unix.ENOSYS),
	deny("syslog", "reads and clears the kernel's log, with its addresses"),
	deny("unshare", "makes namespaces, a user namespace with every capability in it").
		unless(MaskedIs(0, ^uint32(unix.CLONE_FS|unix.CLONE_FILES|unix.CLONE_SYSVSEM), 0), Is(0, 0).UpperHalf()),
	deny("uselib", "loads a library as the kernels of 1995 did; obsolete").with(unix.ENOSYS),
	deny("vhangup", "hangs up the terminal, for whoever else has it"),
}).unknown(unix.ENOSYS)

// namespaceFlags are those of clone(2) that make namespaces. (A time namespace
// is made by unshare and clone3 only: the flag's bit is part of clone's signal.)
const namespaceFlags = unix.CLONE_NEWCGROUP | unix.CLONE_NEWIPC | unix.CLONE_NEWNET | unix.CLONE_NEWNS |
	unix.CLONE_NEWPID | unix.CLONE_NEWUSER | unix.CLONE_NEWUTS

// personalities are those of linux/personality.h that change what uname(2)
// says, and nothing else.
var personalities = []uint32{
	0,          // PER_LINUX
	0x8,        // PER_LINUX32
	0x0020000,  // UNAME26
	0x0020008,  // both
	0xffffffff, // asks for the present one
}
