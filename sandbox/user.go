// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package sandbox

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
	"unicode"

	"github.com/burin-labs/nomad-driver-harn/executor"
)

// identity is who a task runs as.
type identity struct {
	executor.User
	Name string
	// Dynamic: it is one of Nomad's dynamic workload users, as far as its name
	// says. No two tasks have the same one.
	Dynamic bool
}

// defaultUser is who a task runs as if nobody says otherwise.
const defaultUser = "nobody"

// dynamicPrefix begins the names of Nomad's dynamic workload users, which no
// user database knows: the rest is both their UID and their GID.
const dynamicPrefix = "nomad-"

// Dynamic users have a UID from minDynamicUID on, which is the default of the
// client option users.dynamic_user_min, to maxDynamicUID: Nomad parses no other.
const (
	minDynamicUID = 80_000
	maxDynamicUID = 1<<31 - 1
)

// lookupUser finds the user of a task. name is the task's user, "" if it has
// none. Then it is the owner of the task's directory if that is a dynamic
// user: after a restart of the agent, Nomad starts a task again without saying
// its dynamic user.
func lookupUser(name, taskDir string, settings *Settings) (identity, error) {
	if name == "" {
		name = defaultUser
		if info, err := os.Stat(taskDir); err == nil {
			if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid >= minDynamicUID && st.Uid == st.Gid {
				name = dynamicName(st.Uid)
			}
		}
	}
	id, err := parseUser(name)
	if err != nil {
		return identity{}, err
	}
	if id.UID == 0 && !settings.AllowRoot {
		return identity{}, fmt.Errorf("user: %q is root, which the operator does not allow (plugin option allow_root): name another user, or none", name)
	}
	if settings.deniedUsers.has(id) {
		return identity{}, fmt.Errorf("user: %q (UID %d) is denied by the operator (plugin option denied_users): name another user, or none", name, id.UID)
	}
	if executor.IsCompanionUser(id.UID) {
		return identity{}, fmt.Errorf("user: %q has UID %d, which the driver gives to the forwarders of tasks with egress: name another user, or none", name, id.UID)
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

// parseUser finds a user by name, or by a decimal number.
func parseUser(name string) (identity, error) {
	if err := checkUserName(name); err != nil {
		return identity{}, fmt.Errorf("user: %q: %w", name, err)
	}
	if id, ok := parseDynamic(name); ok {
		return id, nil
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
	// getent(1) takes what C does for a number, and cuts it off at 32 bits.
	if number, err := parseID(name); err == nil && id.UID != number && id.Name != name {
		return identity{}, fmt.Errorf("user: %q: the user database answers with %q (UID %d): name the user", name, id.Name, id.UID)
	}
	return id, nil
}

// parseDynamic parses the name of a dynamic user, in the only form that Nomad
// gives it.
func parseDynamic(name string) (identity, bool) {
	number, ok := strings.CutPrefix(name, dynamicPrefix)
	if !ok {
		return identity{}, false
	}
	id, err := parseID(number)
	if err != nil || id < minDynamicUID || id > maxDynamicUID || dynamicName(id) != name {
		return identity{}, false
	}
	return identity{Name: name, Dynamic: true, User: executor.User{UID: id, GID: id}}, true
}

// IsDynamic reports whether a name is that of one of Nomad's dynamic workload
// users, in the only form that Nomad gives it.
func IsDynamic(name string) bool {
	_, dynamic := parseDynamic(name)
	return dynamic
}

func dynamicName(uid uint32) string { return dynamicPrefix + strconv.FormatUint(uint64(uid), 10) }

// checkUserName refuses what is no name of a user, and what user databases take
// for a number in a form that hides which one: " 0", "+0", "00", "0x0", or one
// that is more than 32 bits.
func checkUserName(name string) error {
	switch {
	case name == "":
		return errors.New("it is empty, expected the name of a user")
	case strings.ContainsRune(name, ':'):
		return errors.New("expected the name of a user alone: a task has that user's own groups")
	case strings.HasPrefix(name, "-"), strings.HasPrefix(name, "+"):
		return errors.New("no name of a user begins like this: name another user")
	case strings.ContainsFunc(name, func(r rune) bool {
		return r <= ' ' || r == 0x7f || r == '/' || unicode.IsSpace(r) || !unicode.IsPrint(r)
	}):
		return errors.New("no name of a user has a space, a slash or a control character: name another user")
	case name[0] < '0' || name[0] > '9':
		return nil
	}
	if hex := strings.ToLower(name); strings.HasPrefix(hex, "0x") || strings.Trim(name, "0123456789") == "" {
		if id, err := parseID(name); err != nil || strconv.FormatUint(uint64(id), 10) != name {
			return fmt.Errorf("expected a UID in decimal form, 0 to %d", maxID)
		}
	}
	return nil
}

func lookupFiles(name string) (identity, error) {
	u, err := user.Lookup(name)
	if errors.As(err, new(user.UnknownUserError)) {
		if _, number := parseID(name); number == nil {
			u, err = user.LookupId(name)
		}
	}
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
		return identity{}, fmt.Errorf("its UID: %w", err)
	}
	if id.GID, err = parseID(gid); err != nil {
		return identity{}, fmt.Errorf("its GID: %w", err)
	}
	for _, g := range groups {
		gid, err := parseID(g)
		if err != nil {
			return identity{}, fmt.Errorf("its groups: %w", err)
		}
		id.Groups = append(id.Groups, gid)
	}
	return id, nil
}

// maxID is the highest ID that a user or a group can have. The next one, -1,
// tells the kernel to leave an ID as it is: a process of root would stay root.
const maxID = 1<<32 - 2

// parseID parses the ID of a user or of a group.
func parseID(s string) (uint32, error) {
	id, err := strconv.ParseUint(s, 10, 32)
	if err != nil || id > maxID {
		return 0, fmt.Errorf("%q is no ID, expected 0 to %d", s, maxID)
	}
	return uint32(id), nil
}
