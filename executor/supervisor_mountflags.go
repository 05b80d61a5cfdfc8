// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package executor

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/landlock"
)

// setFlags adds flags to a mount and to all that are mounted in it, one after
// the other: for kernels without mount_setattr(2), before Linux 5.12.
func setFlags(tree int, flags, propagation uintptr) error {
	base, err := os.Readlink(fdPath(tree))
	if err != nil {
		return err
	}
	list, err := os.ReadFile("/proc/thread-self/mountinfo")
	if err != nil {
		return err
	}
	for _, point := range mountPoints(string(list), base) {
		fd, err := openPath(point)
		if err != nil {
			return fmt.Errorf("opening the mount %s: %w", point, err)
		}
		err = remount(fd, flags)
		unix.Close(fd)
		if err != nil {
			return fmt.Errorf("setting mount flags of %s: %w", point, err)
		}
	}
	if err := unix.Mount("", fdPath(tree), "", unix.MS_REC|propagation, ""); err != nil {
		return fmt.Errorf("setting mount propagation: %w", err)
	}
	return nil
}

// remount adds flags to a mount. A remount takes away what it does not name.
func remount(fd int, flags uintptr) error {
	var st unix.Statfs_t
	if err := unix.Fstatfs(fd, &st); err != nil {
		return err
	}
	// ST_* of these have the values of MS_*, but for relatime, statfs(2).
	const same = unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC | unix.MS_NOATIME | unix.MS_NODIRATIME
	const relatime = 0x1000 // ST_RELATIME
	flags |= uintptr(st.Flags) & same
	if st.Flags&relatime != 0 {
		flags |= unix.MS_RELATIME
	}
	return unix.Mount("", fdPath(fd), "", unix.MS_REMOUNT|unix.MS_BIND|flags, "")
}

// mountPoints are those at and below a path, of a list as in
// /proc/self/mountinfo, proc_pid_mountinfo(5).
func mountPoints(list, base string) (points []string) {
	for line := range strings.Lines(list) {
		fields := strings.Fields(line)
		if len(fields) < 5 {
			continue
		}
		if point := unescape(fields[4]); landlock.Beneath(base, point) {
			points = append(points, point)
		}
	}
	return points
}

// unescape decodes the octal escapes by which the kernel writes blanks.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
