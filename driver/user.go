// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"slices"
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
func lookupUser(name, taskDir string, config *Config) (identity, error) {
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
	if id.UID == 0 && !config.AllowRoot {
		return identity{}, fmt.Errorf("user: %q is root, which the operator does not allow (plugin option allow_root): name another user, or none", name)
	}
	if config.deniedUsers.has(id) {
		return identity{}, fmt.Errorf("user: %q (UID %d) is denied by the operator (plugin option denied_users): name another user, or none", name, id.UID)
	}
	return id, nil
}

// deniedUsers are the users that no task may run as.
type deniedUsers struct {
	names  []string
	ranges [][2]uint32 // of UIDs, both ends included
}

func parseDeniedUsers(list []string) (deniedUsers, error) {
	var d deniedUsers
	for _, entry := range list {
		first, last, isRange := strings.Cut(entry, "-")
		from, errFrom := parseID(first)
		to, errTo := from, errFrom
		if isRange {
			to, errTo = parseID(last)
		}
		switch {
		case errFrom == nil && errTo == nil && from <= to:
			d.ranges = append(d.ranges, [2]uint32{from, to})
		case errFrom == nil: // begins with a number: no name
			return d, fmt.Errorf("%q is not a range of UIDs, expected FIRST-LAST", entry)
		case entry == "":
			return d, errors.New("an empty entry, expected a name, a UID or a range of UIDs")
		default:
			d.names = append(d.names, entry)
		}
	}
	return d, nil
}

func (d *deniedUsers) has(id identity) bool {
	if slices.Contains(d.names, id.Name) {
		return true
	}
	return slices.ContainsFunc(d.ranges, func(r [2]uint32) bool { return r[0] <= id.UID && id.UID <= r[1] })
}

func parseUser(name string) (identity, error) {
	if number, ok := strings.CutPrefix(name, dynamicPrefix); ok {
		if id, err := strconv.ParseUint(number, 10, 32); err == nil && id >= minDynamicUID {
			return identity{Name: name, User: executor.User{UID: uint32(id), GID: uint32(id)}}, nil
		}
	}
	id, err := lookupFiles(name)
	if err != nil {
		// This static binary reads /etc/passwd and /etc/group only; getent knows
		// the other databases of nsswitch.conf(5).
		id, err = lookupGetent(name)
	}
	if err != nil {
		return identity{}, fmt.Errorf("user: %q: %w: create the user, or leave it out", name, err)
	}
	return id, nil
}

func lookupFiles(name string) (identity, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return identity{}, err
	}
	groups, err := u.GroupIds()
	if err != nil {
		return identity{}, fmt.Errorf("its groups: %w", err)
	}
	return makeIdentity(u.Username, u.Uid, u.Gid, groups)
}

// lookupGetent asks getent(1): its lines are those of passwd(5), and of
// initgroups NAME GID...
func lookupGetent(name string) (identity, error) {
	if strings.HasPrefix(name, "-") {
		return identity{}, errors.New("no such user")
	}
	line, err := exec.Command("getent", "passwd", name).Output()
	fields := strings.Split(strings.TrimSpace(string(line)), ":")
	if err != nil || len(fields) < 4 {
		return identity{}, errors.New("no such user")
	}
	line, err = exec.Command("getent", "initgroups", name).Output()
	if err != nil {
		return identity{}, fmt.Errorf("its groups: %w", err)
	}
	groups := strings.Fields(string(line))
	return makeIdentity(fields[0], fields[2], fields[3], groups[min(1, len(groups)):])
}

func makeIdentity(name, uid, gid string, groups []string) (identity, error) {
	id := identity{Name: name}
	var err error
	if id.UID, err = parseID(uid); err != nil {
		return identity{}, err
	}
	if id.GID, err = parseID(gid); err != nil {
		return identity{}, err
	}
	for _, g := range groups {
		gid, err := parseID(g)
		if err != nil {
			return identity{}, err
		}
		id.Groups = append(id.Groups, gid)
	}
	return id, nil
}

func parseID(s string) (uint32, error) {
	id, err := strconv.ParseUint(s, 10, 32)
	return uint32(id), err
}
