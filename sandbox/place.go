// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package sandbox

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/internal/plain"
	"github.com/burin-labs/nomad-driver-harn/landlock"
	"github.com/burin-labs/nomad-driver-harn/policy"
)

// rule says what a protected place is to a task.
type rule int

const (
	// covered: nothing of it is there. A root at it or below is refused, and below
	// a root there is an empty file or directory in its place.
	covered rule = iota
	// readOnly: it can be read as far as the policy says, and never be written. A
	// writable root at it or below is refused.
	readOnly
	// socket: it is covered, unless unix_socket_roots names it.
	socket
)

// place is a protected place: a file or directory of the host that no task
// reaches beyond its rule, whatever its policy and its volumes are.
type place struct {
	path string // absolute, as the host's operator names it
	what string // for people: what it is, and who says so
	rule rule
	// own are the task's own directories in it, for which the rule does not hold.
	own []string
	// dynamic: others than this task's view can replace it, so that a mount which
	// covers it can be detached: what Landlock grants around it must not hold for
	// it, either.
	dynamic bool
	// marked: the policy says so, or it is a place of credentials in what a policy names.
	marked bool
	// written is a path of protect, as the policy has it.
	written string

	// real is the place without symbolic links, as far as it exists.
	real string
	// through: the path leads through real, which is no directory, as .git of a worktree.
	// While that is there, nothing can be at the path: so it stays as it is.
	through bool
	// links are the symbolic links that lead there. What replaces one is as
	// protected as the place.
	links []string
	// passed are those of them that lead to a directory above it, and their targets.
	passed map[string]string
}

// builtinMasks are files with secrets of the system and of Nomad.
var builtinMasks = []string{
	"/etc/shadow", "/etc/shadow-", "/etc/gshadow", "/etc/gshadow-", "/etc/ssl/private",
	"/etc/nomad", "/etc/nomad.d",
}

// engineSockets are the sockets by which who reaches them controls the host.
var engineSockets = []string{
	"/run/docker.sock", "/run/docker", "/run/containerd", "/run/crio", "/run/podman", "/run/buildkit",
	"/run/k3s", "/run/incus", "/run/lxd", "/var/lib/lxd/unix.socket", "/var/lib/incus/unix.socket",
	"/run/libvirt", "/run/user", "/run/systemd/private", "/run/dbus/system_bus_socket",
}

// protectedPlaces are the places that are protected from a task, as they are on
// the host now: the one list from which refusals, covers and Landlock's rules
// come, and against which the result is proved.
func protectedPlaces(settings *Settings, dirs *Dirs, agent []AgentPath) []place {
	var places []place
	known := links{}
	own := slices.Concat(dirs.own(), []string{dirs.tmp()}, dirs.Storage)
	add := func(p place) {
		if p.path == "" {
			return
		}
		p.resolve(known, always)
		if p.rule == covered && landlock.Beneath(p.real, dirs.Task) {
			p.own = own // whatever it is that Nomad's directories lie in
		}
		places = append(places, p)
	}
	// Nomad's logmon, which is root, rotates files here by name: nobody else may
	// rename or replace them. Nomad does not replace the directory, and a task
	// cannot, since it is a mount in its view.
	if dirs.Mounts != "" {
		add(place{path: filepath.Join(dirs.Task, "alloc", "logs"), what: "the log directory of the allocation, in which Nomad alone writes", rule: readOnly})
	}
	// In the agent's mount namespace this is a mount, which Nomad unmounts by its
	// name: a task that puts a link there chooses what. It cannot rename what is a
	// mount in its view, as Nomad's other directories are there.
	if dirs.Mounts != "" {
		add(place{path: filepath.Join(dirs.Task, "private"), what: "Nomad's own directory of the task"})
	}
	if settings.StateDir != "" {
		add(place{path: HostFilesDir(settings.StateDir), what: "the driver's copies of the host's resolv.conf and hosts", rule: readOnly})
	}
	for _, p := range []AgentPath{
		{path: settings.StateDir, what: "the driver's records (plugin option state_dir)"},
		{path: dirs.Clients, what: "the directory of Nomad's allocations (client option alloc_dir)"},
		{path: dirs.Mounts, what: "the directory of all tasks' directories (client option alloc_mounts_dir)"},
	} {
		add(place{path: p.path, what: p.what, own: own, dynamic: true})
	}
	for _, p := range append(dirs.nomads(), agent...) {
		if p.programs && slices.ContainsFunc(settings.systemReadRoots(), func(root string) bool { return landlock.Beneath(root, p.path) }) {
			continue // a directory of programs: no task can write there
		}
		add(place{path: p.path, what: p.what, own: own, dynamic: true})
	}
	for _, path := range builtinMasks {
		add(place{path: path, what: "masked for every task", dynamic: true})
	}
	for _, path := range settings.MaskedPaths {
		add(place{path: filepath.Clean(path), what: "masked by the operator (plugin option masked_paths)", dynamic: true})
	}
	for _, path := range engineSockets {
		add(place{path: path, what: "a socket that controls this host", rule: socket, dynamic: true})
	}
	return places
}

// links are the targets of symbolic links that were looked up, "" of what is none or is
// not there: each once, since the places of a list have most of their directories in common.
type links map[string]link

type link struct {
	target  string
	owner   uint32
	through bool // the path leads through what is no directory
}

func (l links) at(path string) link {
	found, known := l[path]
	if !known {
		target, err := os.Readlink(path)
		found = link{target: target, through: errors.Is(err, unix.ENOTDIR)}
		if target != "" {
			found.owner = ownerAt(path)
		}
		l[path] = found
	}
	return found
}

// ownerAt is the owner of what is at a path, or of the directory in which it would be.
func ownerAt(path string) uint32 {
	var st unix.Stat_t
	for unix.Lstat(path, &st) != nil && path != "/" {
		path = filepath.Dir(path)
	}
	return st.Uid
}

// follower decides whether a link of somebody else's than root is followed to where it leads.
type follower func(l link, to string) bool

// always is for what the operator names, and the driver.
func always(link, string) bool { return true }

// ofAnybody is for what people's homes and jobs name: anybody can have made a link there. It
// leads to what its owner has, or what lies in one of the directories, else it would close
// what is others'.
func ofAnybody(dirs []string) follower {
	return func(l link, to string) bool {
		return ownerAt(to) == l.owner || slices.ContainsFunc(dirs, func(dir string) bool { return to != dir && landlock.Beneath(dir, to) })
	}
}

var errKept = errors.New("a link that is not followed")

// resolve follows the symbolic links of the place's path, as far as it exists. Where one is
// not followed, or leads nowhere, its own name is the place: what replaces it is closed.
func (p *place) resolve(known links, follows follower) {
	last := ""
	found, err := policy.Walk(p.path, func(at string, rest []string) (string, error) {
		found := known.at(at)
		p.through = p.through || found.through
		if found.target == "" {
			return "", nil
		}
		if last = at; found.owner != 0 {
			to, err := known.follow(at, found.target, rest)
			if err != nil || landlock.Beneath(to, at) || !follows(found, to) {
				return "", errKept
			}
		}
		p.links = append(p.links, at)
		if slices.ContainsFunc(rest, func(name string) bool { return name != "" && name != "." }) {
			if p.passed == nil {
				p.passed = map[string]string{}
			}
			p.passed[at] = found.target
		}
		return found.target, nil
	})
	if p.real = found; err != nil {
		p.real, p.rule, p.through = last, covered, false
		return
	}
	if !p.through {
		return
	}
	file := fileAbove(p.real)
	if p.through = file != ""; p.through {
		p.real, p.rule = file, readOnly
	}
}

// follow is where a link leads, with what is yet to come.
func (l links) follow(at, target string, rest []string) (string, error) {
	if !filepath.IsAbs(target) {
		target = filepath.Dir(at) + "/" + target
	}
	return policy.Walk(target+"/"+strings.Join(rest, "/"), func(at string, _ []string) (string, error) { return l.at(at).target, nil })
}

// fileAbove is what a path cannot lead through, as it is no directory; "" if that has gone
// meanwhile.
func fileAbove(path string) string {
	for dir := filepath.Dir(path); dir != "/"; dir = filepath.Dir(dir) {
		if info, err := os.Lstat(dir); err == nil {
			if info.IsDir() {
				break
			}
			return dir
		}
	}
	return ""
}

// isOwn reports whether a path is one of the task's own in the place.
func (p *place) isOwn(path string) bool {
	return slices.ContainsFunc(p.own, func(dir string) bool { return landlock.Beneath(dir, path) })
}

// closes reports whether the place forbids a task to be given a path of the
// host, a real one.
func (p *place) closes(path string, write bool) bool {
	return landlock.Beneath(p.real, path) && !p.isOwn(path) && (write || p.rule != readOnly) && !p.through
}

// refusal says why a path cannot be given to a task. written is what the job
// says.
func (p *place) refusal(written, path string) error {
	at := fmt.Sprintf("%q", written)
	if path != written {
		at += fmt.Sprintf(" is %q, which", path)
	}
	switch {
	case p.rule == readOnly:
		return fmt.Errorf("%s lies in %q, %s: it can be read, by read_only_roots, and not written: name another directory, as local or alloc/data", at, p.real, p.what)
	case p.rule == socket:
		return fmt.Errorf("%s is at %q, %s: only unix_socket_roots = [%q] can name it", at, p.real, p.what, p.real)
	case len(p.own) > 0:
		return fmt.Errorf("%s lies in %q, %s: of it a task gets its own directory and nothing else: name a path in the task directory, as local", at, p.real, p.what)
	}
	return fmt.Errorf("%s lies in %q, which is protected, %s: leave it out, or name directories beside it", at, p.real, p.what)
}

// checkRoots refuses roots at or in protected places.
func checkRoots(places []place, roots policy.Roots) error {
	var problems []string
	check := func(field string, list []string, write bool) {
		for _, root := range list {
			for i := range places {
				if p := &places[i]; p.closes(root, write) && (field != "unix_socket_roots" || p.rule != socket) {
					problems = append(problems, fmt.Sprintf("%s: %v", field, p.refusal(cmp.Or(roots.Written[root], root), root)))
					break
				}
			}
		}
	}
	check("workspace_roots", roots.Workspace, true)
	check("read_only_roots", roots.ReadOnly, false)
	check("unix_socket_roots", roots.Sockets, false)
	if len(problems) > 0 {
		return errors.New(strings.Join(problems, "; "))
	}
	return nil
}

// checkOwnLinks refuses a root that a link in a workspace root leads to. It is for tasks
// whose links may be root's: an earlier start, or another task, can have made it.
func checkOwnLinks(roots policy.Roots, dirs *Dirs) error {
	for _, link := range roots.Links {
		if landlock.Beneath(dirs.Task, link.Path) {
			continue // and leads to what is there: see [policy.Resolve]
		}
		for _, root := range roots.Workspace {
			if root != link.Path && landlock.Beneath(root, link.Path) {
				return fmt.Errorf("workspace_roots: in %s, which this task of root, or with capabilities, may write to, %s is a symbolic link that it can have made: give the real path", plain.Quote(root), plain.Name(link.Path))
			}
		}
	}
	return nil
}

// checkOwn refuses a task whose own directory is, by whatever name, one of the
// protected places or above one: own directories are exempt from the rules.
func checkOwn(places []place, task string) error {
	own, err := os.Stat(task)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // of a task that is only explained
	}
	if err != nil {
		return err
	}
	seen := map[string]bool{} // "/" is above itself
	for i := range places {
		p := &places[i]
		if len(p.own) == 0 {
			continue
		}
		for path := p.real; !seen[path]; path = filepath.Dir(path) {
			seen[path] = true
			if info, err := os.Stat(path); err == nil && os.SameFile(info, own) {
				return fmt.Errorf("the task's directory %s is %s, and holds %s, which is protected: %s", plain.Quote(task), plain.Quote(path), plain.Quote(p.real), p.what)
			}
		}
	}
	return nil
}

// includeOwn adds the task's own directory to the roots if one of them is above
// it: what lies between is protected, and it is not.
func includeOwn(roots *policy.Roots, own string) {
	for _, list := range []*[]string{&roots.Workspace, &roots.ReadOnly} {
		above := slices.ContainsFunc(*list, func(root string) bool { return root != own && landlock.Beneath(root, own) })
		if above && !slices.Contains(roots.Workspace, own) && !slices.Contains(*list, own) {
			*list = append(*list, own)
		}
	}
}

// checkPath refuses a path that is at or in a protected place: for what is no
// root of the policy.
func checkPath(places []place, written, path string, write bool) error {
	for i := range places {
		if p := &places[i]; p.closes(path, write) {
			return p.refusal(written, path)
		}
	}
	return nil
}

// names are the names in a directory of the host, without symbolic links. A task may have
// filled it: of more than anybody asks for, the rest is not read.
func names(dir string) ([]string, error) {
	f, err := os.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var list []string
	for len(list) <= policy.MaxSiblings {
		entries, err := f.ReadDir(namesAtOnce)
		for _, entry := range entries {
			if entry.Type() != fs.ModeSymlink {
				list = append(list, entry.Name())
			}
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	slices.Sort(list)
	return list, nil
}

// namesAtOnce is how many names of a directory are read at once.
const namesAtOnce = 256
