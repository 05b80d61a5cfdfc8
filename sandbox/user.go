// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
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
	if id.Dynamic {
		if err := checkDynamic(id, &settings.deniedUsers); err != nil {
			return identity{}, err
		}
	}
	denied, err := settings.deniedUsers.has(id)
	if err != nil {
		return identity{}, fmt.Errorf("user: %q: looking whether the operator denies it (plugin option denied_users): %w", name, err)
	}
	if denied {
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

// has reports whether a user is denied: by name, by UID, or by another name of a UID that
// one of the names has.
func (d *deniedUsers) has(id identity) (bool, error) {
	if slices.Contains(d.names, id.Name) || slices.ContainsFunc(d.ranges, func(r [2]uint32) bool { return r[0] <= id.UID && id.UID <= r[1] }) {
		return true, nil
	}
	for _, name := range d.names {
		if uid, found, err := uidOf(name); err != nil || found && uid == id.UID {
			return found, err
		}
	}
	return false, nil
}

// UnknownDeniedUsers are names of denied_users that no user of this host has, as far as the
// host's directory service answers: they deny nobody.
func (s *Settings) UnknownDeniedUsers() (names []string) {
	for _, name := range s.deniedUsers.names {
		if _, found, err := uidOf(name); err == nil && !found {
			names = append(names, name)
		}
	}
	return names
}

// uidOf is the UID of a name.
func uidOf(name string) (uid uint32, found bool, err error) {
	if u, err := user.Lookup(name); err == nil {
		uid, err := parseID(u.Uid)
		return uid, err == nil, err
	}
	if checkUserName(name) != nil || !hasDirectory(passwdFile) {
		return 0, false, nil
	}
	return inDirectory.uid(name)
}

// nameService remembers what getent(1) has said of names. One that is not found any more keeps
// its UID: so it looks when the directory service does not answer.
type nameService struct {
	mutex sync.Mutex
	uids  map[string]answer
}

type answer struct {
	uid   uint32
	found bool
	at    time.Time
}

var inDirectory = nameService{uids: map[string]answer{}}

// directoryAge is how long an answer of a directory service is not asked for again.
const directoryAge = time.Minute

func (d *nameService) uid(name string) (uint32, bool, error) {
	d.mutex.Lock()
	known, asked := d.uids[name]
	d.mutex.Unlock()
	if asked && time.Since(known.at) < directoryAge {
		return known.uid, known.found, nil
	}
	fields, err := getent("passwd", name)
	if errors.Is(err, errNoEntry) {
		err = nil
	} else if err == nil && fields[0] == name {
		known.uid, err = parseID(fields[2])
		known.found = err == nil
	}
	if err != nil {
		return 0, false, err
	}
	known.at = time.Now()
	d.mutex.Lock()
	defer d.mutex.Unlock()
	d.uids[name] = known
	return known.uid, known.found, nil
}

// checkDynamic refuses a dynamic user who is somebody: a job can write the name of one for
// any number. A directory service that does not answer refuses nobody, unless the operator
// denies users by name.
func checkDynamic(id identity, denied *deniedUsers) error {
	taken := func(what, name string) error {
		return fmt.Errorf("user: %q: its number is that of the %s %q of this host, so that it is no dynamic user: leave the user out, or have the client's dynamic_user_min and dynamic_user_max be a range of no others", id.Name, what, name)
	}
	if name, known := hostDatabases.nameOf(passwdFile, id.UID); known {
		return taken("user", name)
	}
	if name, known := hostDatabases.nameOf(groupFile, id.UID); known {
		return taken("group", name)
	}
	for database, file := range map[string]string{"passwd": passwdFile, "group": groupFile} {
		if !hasDirectory(file) {
			continue
		}
		fields, err := getent(database, number(id.UID))
		switch {
		case err == nil && database == "passwd":
			return taken("user", fields[0])
		case err == nil:
			return taken("group", fields[0])
		case !errors.Is(err, errNoEntry) && len(denied.names) > 0:
			return fmt.Errorf("user: %q: looking whether it is one whom the operator denies (plugin option denied_users): %w", id.Name, err)
		case errors.Is(err, errTooLong):
			return nil // nor does it answer the other question
		}
	}
	return nil
}

// nameSources is nsswitch.conf(5).
var nameSources = "/etc/nsswitch.conf"

// localSources are the sources of users and groups that have none of the IDs of dynamic
// users but what the files say.
var localSources = []string{"files", "systemd", "mymachines", "altfiles", "extrausers"}

// hasDirectory reports whether this host knows more users, or groups, than the file says.
func hasDirectory(file string) bool {
	text, _ := os.ReadFile(nameSources) // without it there are the files
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		database, sources, _ := strings.Cut(line, ":")
		if strings.TrimSpace(database) != filepath.Base(file) {
			continue
		}
		if slices.ContainsFunc(strings.Fields(sources), func(source string) bool {
			return source[0] != '[' && !slices.Contains(localSources, source)
		}) {
			return true
		}
	}
	return false
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
		if errors.Is(err, errTooLong) {
			return identity{}, fmt.Errorf("user: %q: %w", name, err)
		}
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

// lookupGetent asks getent(1) for a user and the user's groups: NAME GID...
func lookupGetent(name string) (identity, error) {
	fields, err := getent("passwd", name)
	if err != nil {
		return identity{}, err
	}
	groups, err := runGetent("initgroups", name)
	if err != nil {
		return identity{}, fmt.Errorf("its groups: %w", err)
	}
	list := strings.Fields(groups)
	return makeIdentity(fields[0], fields[2], fields[3], list[min(1, len(list)):])
}

var (
	errNoEntry = errors.New("no such user")
	errTooLong = errors.New("the host's directory of users does not answer (getent, nsswitch.conf): see to that service, or name a user of /etc/passwd")
)

// directoryPatience is how long a directory service has for an answer: a task's start waits
// for it.
var directoryPatience = 10 * time.Second

// getent returns the fields of a line of passwd(5), or of group(5).
func getent(database, key string) ([]string, error) {
	if key == "" || key[0] == '-' {
		return nil, errNoEntry
	}
	line, err := runGetent(database, key)
	if errors.Is(err, errTooLong) {
		return nil, err
	}
	fields := strings.Split(strings.TrimSpace(line), ":")
	if err != nil || len(fields) < 4 {
		return nil, errNoEntry
	}
	return fields, nil
}

func runGetent(database, key string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), directoryPatience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "getent", database, key)
	cmd.WaitDelay = time.Second // it may have started something that holds its output
	out, err := cmd.Output()
	if ctx.Err() != nil || errors.Is(err, exec.ErrWaitDelay) {
		return "", errTooLong
	}
	return string(out), err
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
