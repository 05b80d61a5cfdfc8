// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/burin-labs/nomad-driver-harn/internal/plain"
	"github.com/burin-labs/nomad-driver-harn/landlock"
)

// Roots are the roots of a policy as real paths: absolute, without symbolic
// links.
type Roots struct {
	Workspace []string
	ReadOnly  []string
	Sockets   []string // to connect to UNIX sockets in
	// Denied and Protected are the paths of read_deny_roots and protect, which need not exist.
	Denied    []Mark
	Protected []Mark // set by [Roots.Protect]
	// Links are the symbolic links that were on the way, so that the paths as
	// the job writes them can be made to work.
	Links []Link
	// Written are the roots as the policy has them, by their real path.
	Written map[string]string
	// members are the paths that members of blocks and presets name, by the name of these, and
	// added those of them that are in the lists for no other reason.
	members map[string][]string
	added   map[Role][]string
}

// named are the paths that the policy names in a field.
func (r *Roots) named(f *Field) []string {
	if f.member() {
		return r.members[f.Name]
	}
	return slices.DeleteFunc(slices.Clone(*r.of(f.Role)), func(path string) bool { return slices.Contains(r.added[f.Role], path) })
}

// of is the list for the paths of a role.
func (r *Roots) of(role Role) *[]string {
	switch role {
	case ReadRole:
		return &r.ReadOnly
	case SocketRole:
		return &r.Sockets
	}
	return &r.Workspace
}

// Mark is a path that need not exist, by its name: absolute, without "." and "..".
type Mark struct {
	Path    string
	Field   string
	Written string // as the policy has it
}

// Link is a symbolic link.
type Link struct{ Path, Target string }

// private are directories of which a task gets a version of its own: a root in
// the host's would admit something else than it says.
var private = []string{"/proc", "/dev"}

// scratch are private directories in which single directories of the host's
// can still be roots.
var scratch = []string{"/tmp"}

// Resolve looks a valid policy's roots up in the file system. Relative roots
// join taskDir. own are the task's own directories, the default for
// WorkspaceRoots; they must be real paths.
//
// Every root must exist. A symbolic link on the way is followed only if nobody
// but root could have made it, or moved it there, and a path in the task's own directories must
// stay there: what a task writes must not decide what its next start may read.
func Resolve(p *Policy, taskDir string, own []string) (Roots, error) {
	var problems []error
	roots := Roots{Written: map[string]string{}}
	p.Each(func(f *Field) {
		switch f.Role {
		case NoRole:
			return
		case DenyRole:
			roots.Denied = append(roots.Denied, marks(f, *f.list(p), []string{taskDir})...)
			return
		case ProtectRole:
			return // see [Roots.Protect]
		}
		for i, root := range *f.list(p) {
			path, links, err := resolveRoot(root, taskDir, own)
			if err != nil {
				problems = append(problems, fmt.Errorf("%s[%d]: %s: %w", f.Name, i, plain.Quote(root), err))
				continue
			}
			roots.Links = append(roots.Links, links...)
			roots.Written[path] = root
			if f.member() {
				roots.name(f.Name, []string{path})
				continue // see below
			}
			list := roots.of(f.Role)
			*list = append(*list, path)
		}
	})
	if err := joinLine(problems); err != nil {
		return Roots{}, err
	}
	if err := roots.checkReadOnly(p); err != nil {
		return Roots{}, err
	}
	if len(p.WorkspaceRoots) == 0 {
		roots.Workspace = slices.DeleteFunc(slices.Clone(own), func(path string) bool { return slices.Contains(roots.ReadOnly, path) })
	}
	for _, role := range []Role{WorkspaceRole, ReadRole, SocketRole} {
		p.Each(func(f *Field) {
			if f.Role == role && (role != WorkspaceRole || p.MayWrite()) {
				roots.add(role, roots.members[f.Name])
			}
		})
	}
	return roots, nil
}

// checkReadOnly refuses a policy that names a path to be written and to be read only.
func (r *Roots) checkReadOnly(p *Policy) (err error) {
	p.Each(func(f *Field) {
		if f.Role != WorkspaceRole || f.member() && !p.MayWrite() {
			return
		}
		for _, path := range r.named(f) {
			if err == nil && slices.Contains(r.ReadOnly, path) {
				err = fmt.Errorf("%s is both in %s and in read_only_roots: it can be only one", plain.Name(path), f.Name)
			}
		}
	})
	return err
}

// Protect finds what a policy's protect names, once all roots are known: relative paths are
// meant below each workspace root, and below each of volumes, real paths of writable ones.
func (r *Roots) Protect(p *Policy, volumes []string) {
	if len(p.Protect) > 0 {
		r.Protected = marks(Find("protect"), p.Protect, slices.Concat(r.Workspace, volumes))
	}
}

// add adds paths that a process may use, besides those of the policy's own fields. What can be
// read within a workspace root is no read-only root: it stays writable, whichever is added
// first. What the policy itself names to be read only is no workspace root.
func (r *Roots) add(role Role, paths []string) {
	list := r.of(role)
	for _, path := range paths {
		if role == WorkspaceRole {
			r.dropRead(path)
		}
		if slices.Contains(*list, path) || role == ReadRole && inside(r.Workspace, path) || role == WorkspaceRole && slices.Contains(r.ReadOnly, path) {
			continue
		}
		if r.added == nil {
			r.added = map[Role][]string{}
		}
		*list = append(*list, path)
		r.added[role] = append(r.added[role], path)
	}
}

// dropRead takes what was added to be read, and lies in a path, from the read-only roots.
func (r *Roots) dropRead(path string) {
	drop := func(root string) bool {
		return slices.Contains(r.added[ReadRole], root) && landlock.Beneath(path, root)
	}
	r.ReadOnly = slices.DeleteFunc(r.ReadOnly, drop)
	if r.added != nil {
		r.added[ReadRole] = slices.DeleteFunc(r.added[ReadRole], func(root string) bool { return landlock.Beneath(path, root) })
	}
}

// AddPreset adds real paths that a preset names.
func (r *Roots) AddPreset(name string, role Role, paths []string) {
	r.name("preset "+name, paths)
	r.add(role, paths)
}

func (r *Roots) name(field string, paths []string) {
	if r.members == nil {
		r.members = map[string][]string{}
	}
	r.members[field] = append(r.members[field], paths...)
}

// field is the name of the field or the preset by which a path is a root, "" for one of the
// policy's own fields.
func (r *Roots) field(path string) string {
	for _, name := range slices.Sorted(maps.Keys(r.members)) {
		if slices.Contains(r.members[name], path) {
			return name
		}
	}
	return ""
}

// marks are paths by their names. Relative ones join each of the directories.
func marks(f *Field, paths, dirs []string) (list []Mark) {
	for _, path := range paths {
		if filepath.IsAbs(path) {
			list = append(list, Mark{filepath.Clean(path), f.Name, path})
			continue
		}
		for _, dir := range dirs {
			list = append(list, Mark{filepath.Join(dir, path), f.Name, path})
		}
	}
	return list
}

// CheckCeiling repeats the ceiling's check of roots with what they really are:
// a path that lies in the ceiling can lead out of it by a symbolic link. roots
// and own are real paths. A root of the ceiling that does not exist, or leads
// to the whole file system, admits what has its name alone.
func CheckCeiling(ceiling *Policy, roots Roots, own []string) error {
	ceiling = locate(ceiling, func(_, place string) []string { return []string{place} })
	var problems []error
	eachRow(Fields(), func(f *Field) {
		if f.Role != NoRole && f.limit != nil {
			problems = append(problems, rootsWithin(f.Name, roots.named(f), f.limit(ceiling), own))
		}
	})
	return joinLine(problems)
}

// CheckVolume compares a volume with the ceiling, as a root: the real path of
// its source is in the ceiling's workspace roots, or, of one that is read-only,
// in any that can be read.
func CheckVolume(ceiling *Policy, source string, readOnly bool, own []string) error {
	ceiling = locate(ceiling, func(_, place string) []string { return []string{place} })
	field, how, l := "workspace_roots", "writable", ceiling.writableLimit()
	if readOnly {
		field, how, l = "read_only_roots", "read-only", ceiling.readableLimit()
	}
	switch {
	case inside(own, source) || len(l.beyond([]string{source}, landlock.Beneath)) == 0:
		return nil
	case !readOnly && len(ceiling.readableLimit().beyond([]string{source}, landlock.Beneath)) == 0:
		return fmt.Errorf("its source %q is writable, which exceeds the operator's ceiling (%s: %s): mount it with read_only = true, or use a volume in the ceiling", source, field, describeRoots(l))
	}
	return fmt.Errorf("its source %q, %s, exceeds the operator's ceiling (%s: %s): use a volume in the ceiling", source, how, field, describeRoots(l))
}

// VolumeLimit says where a ceiling lets the sources of volumes lie; "" is
// anywhere.
func VolumeLimit(ceiling *Policy, readOnly bool) string {
	l := ceiling.writableLimit()
	if readOnly {
		l = ceiling.readableLimit()
	}
	if l.absent {
		return ""
	}
	return describeRoots(l)
}

// Named is the ceiling with the real paths of its roots beside their names, so
// that [Intersect] admits a root by either.
func Named(ceiling *Policy) *Policy {
	return locate(ceiling, func(root, place string) []string {
		if root == place {
			return []string{root}
		}
		return []string{root, place}
	})
}

// locate returns a ceiling whose roots are what names makes of each and of its
// real path. Without one, the root stands for itself.
func locate(ceiling *Policy, names func(root, place string) []string) *Policy {
	located := ceiling.Clone()
	located.Each(func(f *Field) {
		if f.Kind != Paths || f.limit == nil || !f.Present(located) {
			return // no limit
		}
		list := f.list(located)
		roots := *list
		*list = []string{}
		for _, root := range roots {
			place, err := RealPath(root)
			if err != nil || place == "/" {
				place = filepath.Clean(root)
			}
			*list = append(*list, names(root, place)...)
		}
	})
	return located
}

func resolveRoot(root, taskDir string, own []string) (string, []Link, error) {
	path := filepath.Clean(root)
	if !filepath.IsAbs(path) {
		path = filepath.Join(taskDir, path)
	}
	lexicallyOwn := inside(own, path)
	trusted := ofRoot
	if lexicallyOwn {
		trusted = ofAnybody
	}
	path, links, err := resolvePath(path, trusted)
	if err != nil {
		return "", nil, err
	}
	switch {
	case lexicallyOwn && !inside(own, path):
		return "", nil, fmt.Errorf("it leaves the task directory by a symbolic link, to %s: expected a path that stays in it", plain.Name(path))
	case path == "/":
		return "", nil, errors.New("it is a symbolic link to the whole file system: name the directories that the task needs")
	case inside(private, path):
		return "", nil, errors.New("the task has a private /proc and its own device nodes: leave it out")
	case isDevice(path):
		return "", nil, errors.New("it is a device, and what a root shows is never opened as one: name a device of /dev in devices, which the operator admits by the plugin option of that name")
	case slices.ContainsFunc(scratch, func(dir string) bool {
		followed, err := RealPath(dir)
		return path == dir || err == nil && path == followed
	}):
		return "", nil, errors.New("the task has a private one: leave it out, or name a directory in it")
	}
	return path, links, nil
}

func isDevice(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.Mode()&os.ModeDevice != 0
}

// RealPath resolves the symbolic links of an absolute path, as far as they are root's
// and nobody else can have put them there.
func RealPath(path string) (string, error) {
	path, _, err := resolvePath(filepath.Clean(path), ofRoot)
	return path, err
}

// Follow is [RealPath], with the links that were on the way.
func Follow(path string) (string, []Link, error) { return resolvePath(filepath.Clean(path), ofRoot) }

// FollowAnywhere is [Follow] for what is to be closed, not granted: it follows a link of
// root's wherever that lies.
func FollowAnywhere(path string) (string, []Link, error) {
	return resolvePath(filepath.Clean(path), ofRootAnywhere)
}

// trust says which symbolic links are followed.
type trust int

const (
	ofRoot         trust = iota // root's, where nobody but root can make, rename and remove something
	ofRootAnywhere              // root's
	ofAnybody                   // all: the caller checks where they led
)

// resolvePath follows the symbolic links of a path, all of which must exist.
func resolvePath(path string, trusted trust) (string, []Link, error) {
	var links []Link
	found, err := Walk(path, func(at string, rest []string) (string, error) {
		info, err := os.Lstat(at)
		if errors.Is(err, fs.ErrNotExist) {
			return "", notThere(at, len(links) > 0)
		}
		if err != nil {
			return "", err
		}
		if info.Mode().Type() != fs.ModeSymlink {
			if len(rest) > 0 && !info.IsDir() {
				return "", fmt.Errorf("%s is not a directory", plain.Name(at))
			}
			return "", nil
		}
		if st, ok := info.Sys().(*syscall.Stat_t); trusted != ofAnybody && (!ok || st.Uid != 0) {
			return "", fmt.Errorf("%s is a symbolic link that belongs to user %d: only links of root are followed, give the real path", plain.Name(at), st.Uid)
		}
		if trusted == ofRoot {
			if err := rootsAlone(at); err != nil {
				return "", err
			}
		}
		target, err := os.Readlink(at)
		if err == nil {
			links = append(links, Link{at, target})
		}
		return target, err
	})
	if err != nil {
		return "", nil, err
	}
	return found, links, nil
}

// rootsAlone returns an error if a link of root's could be where somebody else has moved
// it: rename(2) asks who may write to the directory, not whose the link is, and the same
// of each directory above.
func rootsAlone(link string) error {
	const others = 0o022
	for dir := filepath.Dir(link); ; dir = filepath.Dir(dir) {
		info, err := os.Lstat(dir)
		if err != nil {
			return err
		}
		st, ok := info.Sys().(*syscall.Stat_t)
		if !ok || st.Uid != 0 || st.Mode&others != 0 && st.Mode&syscall.S_ISVTX == 0 {
			return fmt.Errorf("%s is a symbolic link in %s, where others than root can rename it: give the real path", plain.Name(link), plain.Name(dir))
		}
		if dir == "/" {
			return nil
		}
	}
}

// Hint says what somebody may have meant by a path that leads nowhere, as it begins
// there; "" if it looks like no mistake that is known.
func Hint(path string) string {
	first, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	switch {
	case strings.HasPrefix(first, "~") && path[0] != '/':
		return "~ is not expanded: write the path of the home directory"
	case path[0] == '/' && (first == "local" || first == "alloc" || first == "secrets"):
		return fmt.Sprintf("the task directory is not / here: write %s", plain.Quote(strings.TrimPrefix(path, "/")))
	}
	return ""
}

func notThere(path string, linked bool) error {
	hint := Hint(path)
	if name := filepath.Base(path); strings.HasPrefix(name, "~") {
		hint = Hint(name)
	}
	if hint != "" {
		return fmt.Errorf("%s does not exist: %s", plain.Name(path), hint)
	}
	if linked {
		return fmt.Errorf("%s does not exist, a symbolic link leads there: create it, or correct the link", plain.Name(path))
	}
	return fmt.Errorf("%s does not exist: create it before the task starts, or correct the path", plain.Name(path))
}

// inside reports whether path is one of the directories or beneath one.
func inside(dirs []string, path string) bool {
	return slices.ContainsFunc(dirs, func(dir string) bool { return landlock.Beneath(dir, path) })
}
