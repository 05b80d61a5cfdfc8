// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package sandbox

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/executor"
	"github.com/burin-labs/nomad-driver-harn/internal/plain"
	"github.com/burin-labs/nomad-driver-harn/landlock"
	"github.com/burin-labs/nomad-driver-harn/policy"
)

const (
	passwdFile = "/etc/passwd"
	groupFile  = "/etc/group"
)

// account is who a task is to programs that ask for its user, passwd(5).
type account struct {
	identity
	// home is the HOME that the job sets; "" for the driver's, see homeDir.
	home string
	// withheld are the variables that the task does not get, and agentHome is the
	// HOME that is one of them; "" if it is not.
	withheld  []string
	agentHome string
	// anyone: nobody knows yet who it will be.
	anyone bool
}

// newAccount is that of a task with this user, whose job sets these variables but
// for those that are withheld.
func newAccount(user identity, env map[string]string, withheld []string) *account {
	a := &account{identity: user, withheld: withheld}
	home := env[homeVariable]
	switch {
	case !filepath.IsAbs(home) || !isField(home):
	case slices.Contains(withheld, homeVariable):
		a.agentHome = home
	default:
		a.home = home
	}
	return a
}

// homeOutside is the HOME that the job sets, "" if it is in the task's own directories.
func (a *account) homeOutside(dirs *Dirs) string {
	if isBeneathAny(dirs.names(), a.home) {
		return ""
	}
	return a.home
}

// defaultShell is the shell of a user that the host does not know. Every system
// has it.
const defaultShell = "/bin/sh"

// passwd is the host's passwd(5), headed by the task's own entry: programs that
// look a user up by its number or its name find this one first, whatever else the
// host has for either.
func (a *account) passwd(host []byte, home string) string {
	gecos, shell := "", defaultShell
	for line := range strings.Lines(string(host)) {
		fields := strings.Split(strings.TrimRight(line, "\n"), ":")
		if len(fields) == 7 && fields[0] == a.Name && fields[2] == strconv.FormatUint(uint64(a.UID), 10) {
			gecos, shell = fields[4], fields[6]
			break
		}
	}
	own := strings.Join([]string{a.Name, "x", number(a.UID), number(a.GID), gecos, home, shell}, ":")
	return own + "\n" + without(host, a.Name)
}

// sessionGroup is what the group of sessions is called in a task.
const sessionGroup = "harn-session"

// group is the host's group(5), with a name for the task's primary group, and for the
// one that sessions have besides. The host's names for them stay.
func (a *account) group(host []byte) string {
	taken, known := map[string]bool{}, map[string]bool{}
	for line := range strings.Lines(string(host)) {
		fields := strings.Split(strings.TrimRight(line, "\n"), ":")
		if len(fields) < 3 {
			continue
		}
		taken[fields[0]], known[fields[2]] = true, true
	}
	line := func(name string, gid uint32) string {
		if known[number(gid)] {
			return ""
		}
		for taken[name] {
			name = "gid-" + name
		}
		taken[name] = true
		return strings.Join([]string{name, "x", number(gid), ""}, ":") + "\n"
	}
	first := line(a.Name, a.GID)
	return first + string(host) + line(sessionGroup, executor.SessionGroup)
}

func number(id uint32) string { return strconv.FormatUint(uint64(id), 10) }

// without leaves out the lines of a name.
func without(file []byte, name string) string {
	var b strings.Builder
	for line := range bytes.Lines(file) {
		if !bytes.HasPrefix(line, []byte(name+":")) {
			b.Write(line)
		}
	}
	return b.String()
}

// isField reports whether a text can be a field of passwd(5) or group(5): nothing
// in it ends the field or the line.
func isField(text string) bool {
	return text != "" && !strings.ContainsFunc(text, func(r rune) bool { return r == ':' || unicode.IsControl(r) || r == unicode.ReplacementChar })
}

// accountFiles are the passwd and group of a task, by path. Nothing of what the
// host does not have, or what cannot be written as an entry.
func (a *account) files(home string) map[string]string {
	files := map[string]string{}
	home = cmp.Or(a.home, home)
	if a.anyone || !isField(a.Name) || !isField(home) {
		return files
	}
	if host, err := hostDatabases.read(passwdFile); err == nil {
		files[passwdFile] = a.passwd(host, home)
	}
	if host, err := hostDatabases.read(groupFile); err == nil {
		files[groupFile] = a.group(host)
	}
	return files
}

// databases keeps files as long as they stay what they are.
type databases struct {
	mutex sync.Mutex
	files map[string]database
}

type database struct {
	version fileVersion
	text    []byte
}

var hostDatabases = databases{files: map[string]database{}}

func (d *databases) read(path string) ([]byte, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	version := versionOf(&st)
	d.mutex.Lock()
	defer d.mutex.Unlock()
	if known, ok := d.files[path]; ok && known.version == version {
		return known.text, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if n := len(text); n > 0 && text[n-1] != '\n' {
		text = append(text, '\n')
	}
	d.files[path] = database{version, text}
	return text, nil
}

// nameOf is whom a file says a number to be: both have it in the third field.
func (d *databases) nameOf(path string, id uint32) (string, bool) {
	text, err := d.read(path)
	if err != nil {
		return "", false
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.SplitN(line, ":", 4); len(fields) == 4 && fields[2] == number(id) {
			return fields[0], true
		}
	}
	return "", false
}

// canWrite reports whether a user may make files in a directory, or write a file.
func (a *account) canWrite(path string) bool { return a.may(path, 0o2) }

// canRead reports whether a user may list and enter a directory, or read a file.
func (a *account) canRead(path string) bool { return a.may(path, 0o4) }

// may reports whether a user has a permission on a file, in a directory with that to
// enter it, as far as owner and mode say. Where they do not say it all, as with an
// access control list, it is assumed.
func (a *account) may(path string, need uint32) bool {
	var st unix.Stat_t
	return unix.Stat(path, &st) != nil || a.permits(path, &st, need)
}

// permits is may, for a file that was looked at. The path is for its access control list.
func (a *account) permits(path string, st *unix.Stat_t, need uint32) bool {
	if a.UID == 0 && !a.anyone {
		return true
	}
	if n, err := unix.Getxattr(path, "system.posix_acl_access", nil); err == nil && n > 0 {
		return true
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		need |= 0o1
	}
	switch {
	case a.anyone:
	case st.Uid == a.UID:
		need <<= 6
	case st.Gid == a.GID, slices.Contains(a.Groups, st.Gid):
		need <<= 3
	}
	return st.Mode&need == need
}

// ownedBy names the owner of a file, for people.
func ownedBy(path string) (uid uint32, text string) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return 0, "nobody that can be named"
	}
	return st.Uid, ownerOf(&st)
}

// ownerOf is ownedBy for a file that was looked at.
func ownerOf(st *unix.Stat_t) string {
	name, known := hostDatabases.nameOf(passwdFile, st.Uid)
	if !known {
		return fmt.Sprintf("user %d, mode %04o", st.Uid, st.Mode&0o7777)
	}
	return fmt.Sprintf("%q (user %d), mode %04o", name, st.Uid, st.Mode&0o7777)
}

// String names the user, for people.
func (a *account) String() string {
	if a.anyone {
		return "a dynamic user of its own"
	}
	return fmt.Sprintf("%q (user %d)", a.Name, a.UID)
}

// ownerNotes name the roots and volumes of others, where the task's user can read or
// write nothing, or where git(1) and those who share it get in each other's way.
func (a *account) ownerNotes(w *layout, roots policy.Roots) []string {
	var notes []string
	note := func(what, path string) {
		uid, owner := ownedBy(path)
		remedy := fmt.Sprintf("name a user of the host that may, by user = \"...\" in the job's task, or change the owner: chown -R USER %q", path)
		switch {
		case !a.canWrite(path):
			notes = append(notes, fmt.Sprintf("%s belongs to %s: the task runs as %s, which cannot write there: %s", what, owner, a, remedy))
		case (a.anyone || uid != a.UID) && exists(filepath.Join(path, ".git")):
			notes = append(notes, fmt.Sprintf("%s belongs to %s, the task runs as %s: git calls that dubious ownership: %s", what, owner, a, remedy))
		}
	}
	closed := func(what, path string) {
		uid, owner := ownedBy(path)
		switch {
		case !a.canRead(path):
			notes = append(notes, fmt.Sprintf("%s belongs to %s: the task runs as %s, which cannot read there: name a user of the host that may, by user = \"...\" in the job's task, or open it: chmod -R o+rX %q", what, owner, a, path))
		case (a.anyone || uid != a.UID) && exists(filepath.Join(path, ".git")):
			notes = append(notes, fmt.Sprintf("%s belongs to %s, the task runs as %s: git calls that dubious ownership: name its owner, by user = \"...\" in the job's task, or have git read it: env { GIT_CONFIG_COUNT = \"1\", GIT_CONFIG_KEY_0 = \"safe.directory\", GIT_CONFIG_VALUE_0 = %q }", what, owner, a, path))
		}
	}
	for _, root := range roots.Workspace {
		if !isBeneathAny(w.dirs.own(), root) {
			note(fmt.Sprintf("workspace_roots: %q", root), root)
		}
	}
	for _, root := range roots.ReadOnly {
		if !isBeneathAny(w.dirs.own(), root) {
			closed(fmt.Sprintf("read_only_roots: %q", root), root)
		}
	}
	for _, v := range w.volumes {
		if isBeneathAny(w.dirs.own(), v.host) {
			continue
		}
		if v.readOnly {
			closed(volumeAt(v.task), v.host)
			continue
		}
		before := len(notes)
		what := volumeAt(v.task)
		note(what, v.host)
		if len(notes) == before && a.dynamic() {
			notes = append(notes, sharingNote(what, a.String()))
		}
	}
	return append(notes, a.closedFiles(w.dirs, roots)...)
}

// atMostFiles is how many files of a directory are looked at: an artifact may have
// brought any number.
const atMostFiles = 100

// closedFiles names the first file that Nomad has put into the task's directories, as a
// template with the permissions 600, and that the task's user cannot read.
func (a *account) closedFiles(dirs *Dirs, roots policy.Roots) []string {
	var notes []string
	for _, name := range []string{"local", "secrets"} {
		dir := filepath.Join(dirs.Task, name)
		if within := func(root string) bool { return landlock.Beneath(root, dir) }; !slices.ContainsFunc(roots.Workspace, within) && !slices.ContainsFunc(roots.ReadOnly, within) {
			continue
		}
		if file, owner := a.closedFile(dir); file != "" {
			notes = append(notes, fmt.Sprintf("%s belongs to %s: the task runs as %s, which cannot read it: if a template makes it, give the template perms = \"644\", or the uid and gid of a named user", plain.Quote(name+"/"+file), owner, a))
		}
	}
	return notes
}

// closedFile returns the name and owner of the first file of a directory that the user
// cannot read, "" if there is none. What is there an earlier start can have made: a FIFO in
// the directory's place is not opened, and no link is followed, whose target a task is not
// to hear of.
func (a *account) closedFile(dir string) (name, owner string) {
	d, err := os.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return "", ""
	}
	defer d.Close()
	files, _ := d.Readdirnames(atMostFiles)
	for _, file := range files {
		var st unix.Stat_t
		if unix.Fstatat(int(d.Fd()), file, &st, unix.AT_SYMLINK_NOFOLLOW) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG || a.permits(filepath.Join(dir, file), &st, 0o4) {
			continue
		}
		return file, ownerOf(&st)
	}
	return "", ""
}

func volumeAt(destination string) string {
	return fmt.Sprintf("volume_mount: destination %q", destination)
}

// sharingNote is about a volume that a task writes under a user of its own.
func sharingNote(what, user string) string {
	return fmt.Sprintf("%s: what the task makes there belongs to %s, whom no other task is: tasks that share it need the same user = \"...\", or users of one group (chmod g+ws on the host, umask 002 in the tasks)", what, user)
}

// SharingNote is what a task without a user is told of a volume that it can write,
// before it is known where it runs.
func SharingNote(destination string) string {
	return sharingNote(volumeAt(destination), (&account{anyone: true}).String())
}

// dynamic reports whether it is one of Nomad's dynamic workload users.
func (a *account) dynamic() bool {
	return a.anyone || a.UID >= minDynamicUID && a.Name == dynamicPrefix+number(a.UID)
}
