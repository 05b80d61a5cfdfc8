// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package executor

import "fmt"

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
