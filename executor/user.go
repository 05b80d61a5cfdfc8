// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package executor

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/executor/birth"
)

// noID is no user and no group: to the calls that change IDs, it says that one
// is to stay as it is, setresuid(2). So a process of root that were to become
// this user would stay root.
const noID = ^uint32(0)

// validate refuses IDs that no process can have.
func (u *User) validate() error {
	const format = "the task's %s is %d, which is none: setresuid(2) takes it for \"leave it as it is\", and the task would stay root; expected 0 to 4294967294"
	switch {
	case u.UID == noID:
		return fmt.Errorf(format, "user ID", noID)
	case u.GID == noID:
		return fmt.Errorf(format, "group ID", noID)
	}
	for i, gid := range u.Groups {
		if gid == noID {
			return fmt.Errorf(format, fmt.Sprintf("supplementary group %d", i), noID)
		}
	}
	return nil
}

// becomeUser changes all IDs of the child. keepCapabilities lets the permitted set
// pass, until exec.
func becomeUser(s *sequence, u User, keepCapabilities bool) {
	if keepCapabilities {
		s.begin("prctl(PR_SET_KEEPCAPS)")
		s.call(unix.SYS_PRCTL, unix.PR_SET_KEEPCAPS, 1)
	}
	var groups uintptr
	if len(u.Groups) > 0 {
		s.memory = append(s.memory, u.Groups)
		groups = uintptr(unsafe.Pointer(&u.Groups[0]))
	}
	s.begin("setgroups(%v)", u.Groups)
	s.call(unix.SYS_SETGROUPS, uintptr(len(u.Groups)), groups)
	gid, uid := uintptr(u.GID), uintptr(u.UID)
	s.begin("setresgid(%d)", gid)
	s.call(unix.SYS_SETRESGID, gid, gid, gid)
	s.begin("setresuid(%d)", uid)
	s.call(unix.SYS_SETRESUID, uid, uid, uid)
}

// proveUser checks that the child is who it was to become: the calls that change
// IDs leave one as it is, and succeed, if asked in a way. Exec makes the effective
// IDs the saved ones, execve(2), and those of the file system follow them.
func proveUser(s *sequence, u User) {
	for _, id := range []struct {
		name   string
		number uintptr
		want   uint32
	}{
		{"getgid", unix.SYS_GETGID, u.GID},
		{"getegid", unix.SYS_GETEGID, u.GID},
		{"getuid", unix.SYS_GETUID, u.UID},
		{"geteuid", unix.SYS_GETEUID, u.UID},
	} {
		s.begin("checking that %s(2) returns %d", id.name, id.want).without = ": it returns another ID, the kernel has not changed it"
		returns(s.call(id.number), uintptr(id.want))
	}
	s.begin("checking that getgroups(2) returns %d groups", len(u.Groups)).without = ": it returns others, the kernel has not changed them"
	returns(s.call(unix.SYS_GETGROUPS, 0, 0), uintptr(len(u.Groups)))
}

// returns has a call succeed with this result only.
func returns(c *birth.Call, result uintptr) { c.Checked, c.Result = true, result }
