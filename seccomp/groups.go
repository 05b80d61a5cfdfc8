// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package seccomp

import "golang.org/x/sys/unix"

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

// subvolumes are the ioctls that make, copy, remove and freeze a subvolume in a directory
// that is open. The kernel asks file permissions alone about them: no hook of Landlock's
// sees the name. What is read-only in that way root itself cannot remove. They are
// compared by type and number, without the size of what they point to.
var subvolumes = []uint32{
	0x9401, 0x9417, // BTRFS_IOC_SNAP_CREATE, _V2
	0x940e, 0x9418, // BTRFS_IOC_SUBVOL_CREATE, _V2
	0x940f, 0x943f, // BTRFS_IOC_SNAP_DESTROY, _V2
	0x941a,         // BTRFS_IOC_SUBVOL_SETFLAGS
	0xbc10, 0xbc1d, // BCH_IOCTL_SUBVOLUME_CREATE, _v2
	0xbc11, 0xbc1e, // BCH_IOCTL_SUBVOLUME_DESTROY, _v2
}

const (
	ioctlNumber  = 0xffff     // _IOC_TYPE and _IOC_NR
	ocfs2Reflink = 0x40186f04 // OCFS2_IOC_REFLINK: a copy by two paths

	setDelegation = 1024 + 16 // F_SETDELEG, F_LINUX_SPECIFIC_BASE + 16: since Linux 6.19
)

// Always are the calls besides those of Baseline that no confined program gets.
// Most of them reach what belongs to the whole machine, which no
// namespace separates and no cgroup accounts.
//
// It looks at the arguments of fcntl, ioctl and prlimit64, which are therefore not
// remembered by the kernel.
//
// ENOSYS is what a kernel that was built without the call answers: programs are
// made for that. EPERM is what container engines answer for keyrings.
var Always = group("always", []Entry{
	deny("add_key", "stores in the keyrings of its user, which outlive the task and the user's next one reads"),
	deny("fcntl", "takes a lease on a file (F_SETLEASE, F_SETDELEG), root on any that it can read: whoever else opens it waits for 45 seconds (fs.lease-break-time)").
		unless(IsNot(1, unix.F_SETLEASE, setDelegation)),
	deny("fsopen", "has the kernel load the module of any file system, in a user namespace"),
	deny("io_setup", "takes of the machine's contexts for asynchronous I/O (fs.aio-max-nr), which are of one number for all").with(unix.ENOSYS),
	// They run the operations of other calls, where no filter sees them.
	deny("io_uring_enter", "runs socket and file operations past this filter").with(unix.ENOSYS),
	deny("io_uring_register", "runs socket and file operations past this filter").with(unix.ENOSYS),
	deny("io_uring_setup", "runs socket and file operations past this filter").with(unix.ENOSYS),
	deny("ioctl", "types into the terminal of others (TIOCSTI, TIOCLINUX), changes what a terminal is (TIOCSETD, TIOCCONS), has the kernel load modules (line disciplines, bridges, VLANs), or makes and removes directories and files past Landlock (subvolumes, OCFS2_IOC_REFLINK)").
		unless(IsNot(1, unix.TIOCSTI, unix.TIOCLINUX, unix.TIOCSETD, unix.TIOCCONS,
			unix.SIOCGIFBR, unix.SIOCSIFBR, unix.SIOCBRADDBR, unix.SIOCBRDELBR, unix.SIOCGIFVLAN, unix.SIOCSIFVLAN, ocfs2Reflink),
			MaskedIsNot(1, ioctlNumber, subvolumes...)),
	deny("keyctl", "works on the keyrings of its user, which outlive the task and no namespace separates"),
	deny("prlimit64", "ends other processes of its user, by a limit of no CPU time: Landlock scopes signals, and not this").
		unless(Is(0, 0)).                       // its own
		unless(Is(2, 0), Is(2, 0).UpperHalf()), // it asks, and changes nothing
	deny("request_key", "has the kernel run a program of the host to get a key"),
})

// Groups are all groups. Baseline and Always go with any other, Mounts and Hardened
// with any of the rest, which are for networks: see each for which of them go together.
var Groups = []*Group{Baseline, Always, Mounts, Hardened, Network, LocalIPC, UnixOnly, Families, RoutesOnly, NoRaw, TCPOnly, TCPAndUnix, TCPAndPairs, NoListen}
