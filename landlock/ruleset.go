// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package landlock

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Ruleset describes one Landlock ruleset. What it handles is denied, but for
// what a rule admits. A ruleset that handles rights which the kernel does not
// have is refused by the kernel, so build it from [ABI.Rights].
type Ruleset struct {
	HandledFS  AccessFS   `json:"handled_fs"`
	HandledNet AccessNet  `json:"handled_net,omitempty"`
	Scoped     Scope      `json:"scoped,omitempty"`
	Paths      []PathRule `json:"paths"`
	Ports      []PortRule `json:"ports,omitempty"`
}

// PortRule admits network access to a port, of any address. Port 0 stands for
// the ephemeral ports that the kernel chooses for a socket bound to port 0.
type PortRule struct {
	Port   uint16    `json:"port"`
	Access AccessNet `json:"access"`
}

// PathRule admits access to a file, or to a directory and all beneath it.
// Rights that mean nothing for a file are dropped if Path is a file.
type PathRule struct {
	// Path is absolute and holds no symbolic link, "." or "..": the real path.
	Path   string   `json:"path"`
	Access AccessFS `json:"access"`
	// Optional rules are skipped if nothing exists at Path.
	Optional bool `json:"optional,omitempty"`
}

// Admits reports whether the rules admit the access to a real path.
func (r *Ruleset) Admits(path string, access AccessFS) bool {
	return access&^r.Granted(path) == 0
}

// Beneath reports whether a file is dir or in it, by components: /srv/models-old is
// not in /srv/models. It looks nothing up: of paths with symbolic links on the way
// it says what their names say.
func Beneath(dir, file string) bool {
	dir, file = clean(dir), clean(file)
	switch dir {
	case ".":
		return file != ".." && !strings.HasPrefix(file, "../") && !path.IsAbs(file)
	case "/":
		return path.IsAbs(file)
	}
	return strings.HasPrefix(file, dir) && (len(file) == len(dir) || file[len(dir)] == '/')
}

// clean is [path.Clean], faster for what is clean already: lists of paths are compared
// with each other many thousand times for one task.
func clean(name string) string {
	if name == "" || name[0] == '.' {
		return path.Clean(name)
	}
	for i := 0; i < len(name); i++ {
		if name[i] == '/' && (i+1 == len(name) || name[i+1] == '/' || name[i+1] == '.') {
			return path.Clean(name)
		}
	}
	return name
}

// Granted is what the rules grant on a real path: what any rule for it or for
// a directory above grants.
func (r *Ruleset) Granted(path string) AccessFS {
	var granted AccessFS
	for _, rule := range r.Paths {
		if Beneath(rule.Path, path) {
			granted |= rule.Access
		}
	}
	return granted
}

// FileRule admits access to a file by a descriptor of it: opening
// /proc/self/fd/N again, for instance.
type FileRule struct {
	FD     uintptr
	Access AccessFS
}

// Open makes a ruleset in the kernel, with a rule for each path. A rule holds
// for the inode that its path names now; what is mounted or renamed there
// later is not covered. The file returned is close-on-exec.
//
// A path that is not what it says (a symbolic link on the way, a file moved
// while it was opened) is refused, so that nobody who can write to one of its
// directories can point a rule elsewhere.
//
// files add rules for files that are open already.
func (r *Ruleset) Open(files ...FileRule) (*os.File, error) {
	return r.OpenWhere(OwnProc, files...)
}

// OwnProc stands for the /proc that the calling process sees.
const OwnProc = -1

// OpenWhere is [Ruleset.Open] for a process that is not in the /proc that it sees,
// as one is that has joined the mount namespace of others: fds is a descriptor of
// its directory /proc/self/fd, opened before.
func (r *Ruleset) OpenWhere(fds int, files ...FileRule) (*os.File, error) {
	attr := unix.LandlockRulesetAttr{
		Handled_access_fs:  uint64(r.HandledFS),
		Handled_access_net: uint64(r.HandledNet),
		Scoped:             uint64(r.Scoped),
	}
	// Kernels that know a shorter structure accept this one if what they do
	// not know is zero.
	fd, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET,
		uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr), 0)
	if errno != 0 {
		return nil, fmt.Errorf("landlock: landlock_create_ruleset(2) handling fs %v, net %v, scoped %v: %w%s",
			r.HandledFS, r.HandledNet, r.Scoped, errno, hintCreate(errno))
	}
	set := os.NewFile(fd, "landlock ruleset")
	var err error
	for i := 0; i < len(r.Paths) && err == nil; i++ {
		err = r.addPath(int(fd), fds, &r.Paths[i])
	}
	for i := 0; i < len(r.Ports) && err == nil; i++ {
		err = r.addPort(int(fd), r.Ports[i])
	}
	for i := 0; i < len(files) && err == nil; i++ {
		err = r.addFile(int(fd), files[i])
	}
	if err != nil {
		set.Close()
		return nil, err
	}
	return set, nil
}

func hintCreate(errno unix.Errno) string {
	if errno == unix.EINVAL || errno == unix.E2BIG {
		return " (this kernel's ABI has not all of these rights)"
	}
	return ""
}

func (r *Ruleset) addPath(set, fds int, rule *PathRule) error {
	fd, dir, err := openRule(fds, rule.Path)
	if errors.Is(err, unix.ENOENT) && rule.Optional {
		return nil
	}
	// Who joins others finds what became of their paths: what is gone, or another
	// thing by now, gets no rule, as it has none in their domain.
	if replaced := replacedError(""); fds != OwnProc && (errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.As(err, &replaced)) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("landlock: rule for %q: %w", rule.Path, err)
	}
	defer unix.Close(fd)

	if err := r.add(set, fd, dir, rule.Access); err != nil {
		return fmt.Errorf("landlock: rule for %q: %w", rule.Path, err)
	}
	return nil
}

func (r *Ruleset) addFile(set int, rule FileRule) error {
	err := r.add(set, int(rule.FD), false, rule.Access)
	// Pipes and sockets have no place in the file system: Landlock neither
	// mediates them nor takes rules for them.
	if err != nil && !errors.Is(err, unix.EBADFD) {
		return fmt.Errorf("landlock: rule for descriptor %d: %w", rule.FD, err)
	}
	return nil
}

func (r *Ruleset) addPort(set int, rule PortRule) error {
	access := rule.Access & r.HandledNet
	if access == 0 {
		return nil
	}
	attr := netPortAttr{allowedAccess: uint64(access), port: uint64(rule.Port)}
	_, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(set), ruleNetPort,
		uintptr(unsafe.Pointer(&attr)), 0, 0, 0)
	// A kernel without TCP/IP denies what the rule would admit (EAFNOSUPPORT).
	if errno != 0 && errno != unix.EAFNOSUPPORT {
		return fmt.Errorf("landlock: rule for port %d: landlock_add_rule(2) with %v: %w", rule.Port, access, errno)
	}
	return nil
}

// What golang.org/x/sys has not, from linux/landlock.h.
const ruleNetPort = 2 // LANDLOCK_RULE_NET_PORT

type netPortAttr struct { // struct landlock_net_port_attr
	allowedAccess uint64
	port          uint64
}

func (r *Ruleset) add(set, fd int, dir bool, access AccessFS) error {
	access &= r.HandledFS
	if !dir {
		access &= FileRights
	}
	if access == 0 {
		return nil
	}
	attr := unix.LandlockPathBeneathAttr{Allowed_access: uint64(access), Parent_fd: int32(fd)}
	_, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(set), unix.LANDLOCK_RULE_PATH_BENEATH,
		uintptr(unsafe.Pointer(&attr)), 0, 0, 0)
	if errno != 0 {
		return fmt.Errorf("landlock_add_rule(2) with %v: %w", access, errno)
	}
	return nil
}

// openRule opens a rule's path and says whether it is a directory.
func openRule(fds int, name string) (fd int, dir bool, err error) {
	if !path.IsAbs(name) || path.Clean(name) != name {
		return -1, false, errors.New("not an absolute path without \".\", \"..\" and empty components")
	}
	fd, err = unix.Openat2(unix.AT_FDCWD, name, &unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_NO_SYMLINKS,
	})
	switch {
	case errors.Is(err, unix.ELOOP):
		return -1, false, replacedError("a symbolic link is on this path, expected the real path: was a part of it replaced by a link?")
	case err != nil:
		return -1, false, fmt.Errorf("open: %w", err)
	}
	defer func() {
		if err != nil {
			unix.Close(fd)
		}
	}()
	if err := verify(fds, fd, name); err != nil {
		return -1, false, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return -1, false, fmt.Errorf("fstat: %w", err)
	}
	return fd, st.Mode&unix.S_IFMT == unix.S_IFDIR, nil
}

// verify compares the kernel's name for what was opened with the path that was
// meant: a path that was renamed or deleted meanwhile shows here.
func verify(fds, fd int, name string) error {
	link := strconv.Itoa(fd)
	if fds == OwnProc {
		fds, link = unix.AT_FDCWD, "/proc/self/fd/"+link
	}
	opened := make([]byte, len(name)+1) // a longer name is another one
	n, err := unix.Readlinkat(fds, link, opened)
	if err != nil {
		return fmt.Errorf("readlink of %s: %w", link, err)
	}
	if string(opened[:n]) != name {
		opened = make([]byte, unix.PathMax)
		if n, err = unix.Readlinkat(fds, link, opened); err != nil {
			return fmt.Errorf("readlink of %s: %w", link, err)
		}
		// The source of a mount was removed where it comes from. The mount still is
		// what it was, and where it was: the name is that of the mount point.
		if string(opened[:n]) == name+" (deleted)" && isMountRoot(fd) {
			return nil
		}
		return replacedError(fmt.Sprintf("it is now %q: it was moved or removed while it was opened", opened[:n]))
	}
	return nil
}

// replacedError is about a path that leads elsewhere by now.
type replacedError string

func (e replacedError) Error() string { return string(e) }

// isMountRoot reports whether an open file is the root of a mount, statx(2). Before
// Linux 5.8 the kernel does not tell: then nothing is.
func isMountRoot(fd int) bool {
	var st unix.Statx_t
	err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, 0, &st)
	return err == nil && st.Attributes_mask&st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0
}
