// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"fmt"
	"os"
	"os/user"
	"strconv"
	"strings"
	"syscall"

	"github.com/burin-labs/nomad-driver-harn/executor"
)

// identity is who a task runs as.
type identity struct {
	executor.User
	Name string
}

// defaultUser is who a task runs as if nobody says otherwise.
const defaultUser = "nobody"

// dynamicPrefix begins the names of Nomad's dynamic workload users, which no
// user database knows: the rest is both their UID and their GID.
const dynamicPrefix = "nomad-"

// minDynamicUID is the lowest UID that Nomad hands out (client option
// users.dynamic_user_min can only raise it).
const minDynamicUID = 80_000

// lookupUser finds the user of a task. name is the task's user, "" if it has
// none. Then it is the owner of the task's directory if that is a dynamic
// user: after a restart of the agent, Nomad starts a task again without saying
// its dynamic user.
func lookupUser(name, taskDir string, allowRoot bool) (identity, error) {
	if name == "" {
		name = defaultUser
		if info, err := os.Stat(taskDir); err == nil {
			if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid >= minDynamicUID && st.Uid == st.Gid {
				name = dynamicPrefix + strconv.FormatUint(uint64(st.Uid), 10)
			}
		}
	}
	id, err := parseUser(name)
	if err != nil {
		return identity{}, err
	}
	if id.UID == 0 && !allowRoot {
		return identity{}, fmt.Errorf("user: %q is root, which the operator does not allow (plugin option allow_root): name another user, or none", name)
	}
	return id, nil
}

func parseUser(name string) (identity, error) {
	if number, ok := strings.CutPrefix(name, dynamicPrefix); ok {
		if id, err := strconv.ParseUint(number, 10, 32); err == nil && id >= minDynamicUID {
			return identity{Name: name, User: executor.User{UID: uint32(id), GID: uint32(id)}}, nil
		}
	}
	u, err := user.Lookup(name)
	if err != nil {
		return identity{}, fmt.Errorf("user: %q is not in /etc/passwd: create it, or leave the user out", name)
	}
	id := identity{Name: u.Username}
	if id.UID, err = parseID(u.Uid); err != nil {
		return identity{}, fmt.Errorf("user: %q: %w", name, err)
	}
	if id.GID, err = parseID(u.Gid); err != nil {
		return identity{}, fmt.Errorf("user: %q: %w", name, err)
	}
	groups, err := u.GroupIds()
	if err != nil {
		return identity{}, fmt.Errorf("user: the groups of %q: %w", name, err)
	}
	for _, g := range groups {
		gid, err := parseID(g)
		if err != nil {
			return identity{}, fmt.Errorf("user: the groups of %q: %w", name, err)
		}
		id.Groups = append(id.Groups, gid)
	}
	return id, nil
}

func parseID(s string) (uint32, error) {
	id, err := strconv.ParseUint(s, 10, 32)
	return uint32(id), err
}
