// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Package suggest finds the smallest change to a policy that admits what was
// denied under it. It decides by what the policy and the denials say alone, and
// suggests nothing that the operator's ceiling forbids.
package suggest

import (
	"fmt"
	"net"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/burin-labs/nomad-driver-harn/audit"
	"github.com/burin-labs/nomad-driver-harn/egress/rule"
	"github.com/burin-labs/nomad-driver-harn/internal/plain"
	"github.com/burin-labs/nomad-driver-harn/landlock"
	"github.com/burin-labs/nomad-driver-harn/policy"
	"github.com/burin-labs/nomad-driver-harn/seccomp"
)

// Change is one value to set, or to add to a list.
type Change struct {
	Field string // of capability_policy
	Value any    // string, int or bool
	// Why are the denials that ask for it.
	Why []string

	apply func(*policy.Policy)
}

// Refusal is a denial that no change admits, or only one that is not to be
// made.
type Refusal struct {
	Denial string
	Reason string
}

// Suggestion is what follows from a list of denials.
type Suggestion struct {
	// Policy is the changed one.
	Policy  *policy.Policy
	Changes []*Change
	Refused []Refusal
}

// maxSiblings is how many paths in one directory are named one by one. Of more,
// the directory is.
const maxSiblings = 4

// For suggests a change of p. ceiling is the operator's; an empty one puts no
// limit. Both must be valid. Nothing is suggested that every host keeps closed.
func For(p, ceiling *policy.Policy, lines []audit.Line) *Suggestion {
	return Guarded(p, ceiling, &Guard{}, lines)
}

// Guarded is [For] where more is kept closed.
func Guarded(p, ceiling *policy.Policy, guard *Guard, lines []audit.Line) *Suggestion {
	s := &Suggestion{Policy: p.Clone()}
	if s.Policy.SandboxProfile == "" && ceiling.SandboxProfile != "" {
		s.Policy.SandboxProfile = ceiling.SandboxProfile // what the task runs under
	}
	wanted := wishes(s.Policy, guard, lines)
	// What is refused is no reason to leave out what lies in it.
	for _, w := range wanted {
		if w.reason == "" && isRoot(w.change) {
			w.reason = (&Suggestion{Policy: s.Policy}).try(w.change, ceiling)
		}
	}
	for _, w := range merge(wanted) {
		if w.with != nil && w.with.reason != "" {
			continue // said there
		}
		if w.reason == "" {
			w.reason = s.try(w.change, ceiling)
		}
		if w.reason != "" {
			for _, denial := range w.change.Why {
				s.Refused = append(s.Refused, Refusal{denial, w.reason})
			}
			continue
		}
		s.Changes = append(s.Changes, w.change)
	}
	if p.SandboxProfile == "" && !slices.ContainsFunc(s.Changes, func(c *Change) bool { return c.Field == "sandbox_profile" }) {
		s.Policy.SandboxProfile = ""
	}
	return s
}

// try makes a change unless it is wrong or beyond the ceiling. It returns why.
func (s *Suggestion) try(c *Change, ceiling *policy.Policy) string {
	changed := s.Policy.Clone()
	c.apply(changed)
	if err := changed.Validate(); err != nil {
		return err.Error()
	}
	if level, limited := ceiling.Level(); limited && c.Field == "side_effect_level" {
		if own, ok := changed.Level(); !ok || own > level {
			return fmt.Sprintf("%s = %q exceeds the operator's ceiling (side_effect_level = %q)", c.Field, c.Value, level)
		}
	}
	if c.Field == "sandbox_profile" && changed.Profile() < ceiling.Profile() {
		return fmt.Sprintf("%s = %q exceeds the operator's ceiling (sandbox_profile = %q)", c.Field, c.Value, ceiling.Profile())
	}
	if _, err := policy.Intersect(ceiling, changed, nil); err != nil {
		return err.Error()
	}
	s.Policy = changed
	return ""
}

// wish is a change, or the reason why there is none.
type wish struct {
	change *Change
	reason string
	// with is a change without which this one means nothing, nil for none.
	with *wish
}

// wishes are the changes that the denials ask for, each one once.
func wishes(p *policy.Policy, guard *Guard, lines []audit.Line) []*wish {
	lines = slices.Clone(lines)
	paths := map[string][]string{} // wanted roots, by directory
	for i := range lines {
		line := &lines[i]
		if line.Path = cleaned(line.Path); line.Kind == audit.FS && line.Path != "" {
			if dir := filepath.Dir(line.Path); !slices.Contains(paths[dir], line.Path) {
				paths[dir] = append(paths[dir], line.Path)
			}
		}
	}
	portsAlone := namesPorts(lines)
	var all []*wish
	index := map[string]*wish{}
	for _, line := range lines {
		if line.Truncated {
			continue
		}
		guarded := func(path string) string {
			if line.TaskDir != "" && line.TaskDir != "/" && landlock.Beneath(line.TaskDir, path) {
				return "" // its own
			}
			if why := guard.Refuse(path); why != "" {
				return why
			}
			return guard.task(line.TaskDir, path)
		}
		single := line
		if dir := filepath.Dir(line.Path); len(paths[dir]) > maxSiblings && dir != "/" && filepath.Dir(dir) != "/" && guarded(line.Path) == "" && guarded(dir) == "" {
			line.Path = dir
		}
		add := func(w *wish) *wish {
			w.change.Why = []string{why(&single)}
			key := w.reason
			if w.change.Field != "" {
				key = fmt.Sprint(w.change.Field, " ", w.change.Value)
			}
			if known := index[key]; known != nil {
				known.change.Why = append(known.change.Why, w.change.Why...)
				return known
			}
			index[key] = w
			all = append(all, w)
			return w
		}
		w := add(wishFor(p, &line, guarded))
		if w.change.Field == "side_effect_level" && line.Kind == audit.Net && line.Port != 0 && portsAlone {
			port := portWish(&line)
			port.with = w
			add(port)
		}
	}
	return all
}

// namesPorts reports whether all that asks for a network names a TCP port: then those
// are enough.
func namesPorts(lines []audit.Line) bool {
	for i := range lines {
		switch line := &lines[i]; line.Kind {
		case audit.Net:
			if line.Port == 0 || portWish(line) == nil {
				return false
			}
		case audit.Syscall:
			if len(line.Rights) > 0 && denies(seccomp.Network, line.Rights[0]) {
				return false
			}
		}
	}
	return true
}

// portWish is for a TCP port, nil if it is about something else.
func portWish(line *audit.Line) *wish {
	if len(line.Rights) == 0 {
		return nil
	}
	port := line.Port
	switch line.Rights[0] {
	case "net.connect_tcp":
		return set("tcp_connect", port, func(p *policy.Policy) { p.TCPConnect = with(p.TCPConnect, port) })
	case "net.bind_tcp":
		return set("tcp_bind", port, func(p *policy.Policy) { p.TCPBind = with(p.TCPBind, port) })
	}
	return nil
}

// cleaned is a path in its shortest form, "" if it is none.
func cleaned(path string) string {
	if path == "" {
		return ""
	}
	return filepath.Clean(path)
}

func isRoot(c *Change) bool { return strings.HasSuffix(c.Field, "_roots") }

// merge leaves out the roots that are beneath another one that is wanted: they are
// part of it.
func merge(all []*wish) []*wish {
	return slices.DeleteFunc(slices.Clone(all), func(w *wish) bool {
		return slices.ContainsFunc(all, func(other *wish) bool {
			path, _ := w.change.Value.(string)
			above, _ := other.change.Value.(string)
			if w == other || w.reason != "" || other.reason != "" || w.change.Field != other.change.Field || !isRoot(w.change) || path == above || !landlock.Beneath(above, path) {
				return false
			}
			other.change.Why = append(other.change.Why, w.change.Why...)
			return true
		})
	})
}

// why tells of the denial.
func why(line *audit.Line) string {
	text := line.String()
	if line.Count > 1 {
		text += fmt.Sprintf(" (%d times)", line.Count)
	}
	if line.Command != "" {
		text += ", by " + plain.Quote(line.Command)
	}
	return text
}

// rightNames are those of the kernel's, and names of system calls.
var rightNames = regexp.MustCompile(`^[a-z0-9_]+(\.[a-z0-9_]+)?$|^syscall [0-9]+$`)

// refuse is a wish that is not granted.
func refuse(format string, args ...any) *wish {
	return &wish{change: &Change{}, reason: fmt.Sprintf(format, args...)}
}

func set(field string, value any, apply func(*policy.Policy)) *wish {
	return &wish{change: &Change{Field: field, Value: value, apply: apply}}
}

func wishFor(p *policy.Policy, line *audit.Line, guarded func(string) string) *wish {
	network := set("side_effect_level", policy.LevelNetwork.String(), func(p *policy.Policy) { p.SideEffectLevel = policy.LevelNetwork.String() })

	if line.Kind == audit.Egress {
		return egressWish(line)
	}
	if len(line.Rights) == 0 || slices.ContainsFunc(line.Rights, func(name string) bool { return !rightNames.MatchString(name) }) {
		return refuse("its rights are no names of the kernel's: the driver has not written this")
	}
	switch line.Kind {
	case audit.FS:
		return fileWish(p, line, guarded)
	case audit.Net:
		switch port := portWish(line); {
		case !p.NetworkAllowed():
			return network
		case line.Command == theLog:
			return refuse(networkElse)
		case line.Port == 0:
			return refuse("the port is not known")
		case port == nil:
			return refuse("tcp_connect and tcp_bind limit the network to TCP: leave both out for other protocols")
		default:
			return port
		}
	case audit.Scope:
		return refuse("no policy admits it: what is outside of the task is out of its reach")
	case audit.Syscall:
		name := line.Rights[0]
		switch {
		case line.Command == theLog && p.NetworkAllowed():
			return refuse(networkElse)
		case denies(seccomp.Baseline, name), unconditionally(seccomp.Always, name):
			return refuse("no policy admits this system call")
		case p.Profile() == policy.OSHardened && denies(seccomp.Hardened, name):
			return set("sandbox_profile", policy.Worktree.String(), func(p *policy.Policy) { p.SandboxProfile = policy.Worktree.String() })
		case denies(seccomp.Network, name) && !p.NetworkAllowed():
			off := p.LocalIPC != nil && !*p.LocalIPC
			if local := ruleOf(seccomp.LocalIPC, name); off && (local == nil || len(local.Admit) > 0) {
				return set("local_ipc", true, func(p *policy.Policy) { on := true; p.LocalIPC = &on })
			}
			return network
		}
		return refuse("no policy admits this system call, or not with these arguments")
	}
	return refuse("a denial of an unknown kind, of a newer driver")
}

// networkElse is about a log of a task that has a network.
const networkElse = "it cannot be told from a log: the policy admits the network, so that it was denied under another one, or by tcp_connect, tcp_bind, egress or something outside of the task"

// usualPort is what is proposed for a name that was looked up, and got no address to
// connect to: nothing tells of a port then.
const usualPort = 443

// egressWish is for a host that the rules do not admit.
func egressWish(line *audit.Line) *wish {
	port := line.Port
	if port == 0 {
		port = usualPort
	}
	r, err := rule.Parse(net.JoinHostPort(line.Host, strconv.Itoa(port)))
	switch {
	case err != nil || r.Below || !r.Addresses.IsSingleIP() && r.Name == "":
		return refuse("it is no host that a rule could name")
	case line.Reason != rule.NoRule:
		return refuse("egress: %s: change that by hand, if the task is to reach it", plain.Line(line.Reason))
	case r.Name == "" && rule.IsPrivate(r.Addresses.Addr()):
		return refuse("egress: it is no address of the public internet: name it by hand, if the task is to reach it")
	}
	text := r.String()
	return set("egress.allow", text, func(p *policy.Policy) {
		if p.Egress == nil {
			p.Egress = &policy.Egress{}
		}
		p.Egress.Allow = with(p.Egress.Allow, text)
	})
}

// unconditionally reports whether the group denies the call whatever its arguments.
func unconditionally(group *seccomp.Group, call string) bool {
	r := ruleOf(group, call)
	return r != nil && len(r.Admit) == 0
}

func denies(group *seccomp.Group, call string) bool { return ruleOf(group, call) != nil }

// ruleOf is that of a group for a system call, nil if there is none.
func ruleOf(group *seccomp.Group, call string) *seccomp.Rule {
	for i := range group.Entries {
		if group.Entries[i].Syscall == call {
			return &group.Entries[i].Rule
		}
	}
	return nil
}

// system are directories of the distribution's.
var system = []string{"/bin", "/boot", "/etc", "/lib", "/lib64", "/sbin", "/usr", "/nix/store"}

// removing are the rights that removing takes.
var removing = []string{"fs.remove_file", "fs.remove_dir"}

func only(rights, of []string) bool {
	return !slices.ContainsFunc(rights, func(r string) bool { return !slices.Contains(of, r) })
}

func fileWish(p *policy.Policy, line *audit.Line, guarded func(string) string) *wish {
	root := line.Path
	switch {
	case root == "/":
		return refuse("a root of / would admit everything")
	case !filepath.IsAbs(root):
		return refuse("its path is not known, or one that the task has made up in a root of its own")
	case root == "/tmp" || root == "/var/tmp" || root == "/run" || root == "/var/run" || root == "/dev/shm":
		return refuse("every task has one of its own")
	case line.Command == theLog && tooShort.MatchString(root):
		return refuse("a directory at the top of the file system has more in it than one program needs: name what it needs of %s by hand", plain.Name(root))
	case line.Command == theLog && !line.Reads() && slices.ContainsFunc(system, func(dir string) bool { return landlock.Beneath(dir, root) }):
		return refuse("it is the system's, which no task should change: have the program write elsewhere, in its own directories or /tmp")
	}
	if why := guarded(root); why != "" {
		return refuse("%s", why)
	}
	if why := inexpressible(root); why != "" {
		return refuse("%s", why)
	}
	if line.TaskDir != "" && line.TaskDir != "/" {
		if rel, err := filepath.Rel(line.TaskDir, root); err == nil && filepath.IsLocal(rel) {
			root = rel // so that it is right for the next allocation, too
		}
	}
	if only(line.Rights, []string{"fs.resolve_unix"}) {
		return set("unix_socket_roots", root, func(p *policy.Policy) { p.UnixSocketRoots = with(p.UnixSocketRoots, root) })
	}
	read := line.Reads()
	within := func(roots []string) bool {
		return slices.ContainsFunc(roots, func(r string) bool { return landlock.Beneath(absolute(r, line.TaskDir), line.Path) })
	}
	switch closed := closedBy(p, line); {
	case closed != "":
		return refuse("it is denied by %s: take it out, if the task should have it", closed)
	case within(p.ReadOnlyRoots) && !read:
		return refuse("it is in a read-only root: take it out of read_only_roots, and add it to workspace_roots")
	case within(p.ReadOnlyRoots):
		return refuse("the policy admits it by now: it was denied under another one, or by the file's permissions")
	case within(p.WorkspaceRoots) || p.WorkspaceRoots == nil && line.TaskDir != "" && landlock.Beneath(line.TaskDir, line.Path):
		operation := policy.WriteText
		switch {
		case p.Capabilities == nil:
			return refuse("the policy admits it by now: it was denied under another one, or by a root within this one")
		case read:
			operation = policy.ReadText
		case only(line.Rights, removing):
			operation = policy.Delete
		}
		return set("capabilities.workspace", operation, func(p *policy.Policy) {
			operations := p.Capabilities[policy.Workspace]
			if len(operations) == 0 { // which means reading
				operations = []string{policy.ReadText}
			}
			p.Capabilities[policy.Workspace] = with(operations, operation)
		})
	case read:
		return set("read_only_roots", root, func(p *policy.Policy) { p.ReadOnlyRoots = with(p.ReadOnlyRoots, root) })
	}
	return set("workspace_roots", root, func(p *policy.Policy) {
		if p.WorkspaceRoots == nil {
			p.WorkspaceRoots = []string{"."} // what absent means
		}
		p.WorkspaceRoots = with(p.WorkspaceRoots, root)
	})
}

// closedBy is the field by which the policy itself keeps a path from the task, "" if none does.
func closedBy(p *policy.Policy, line *audit.Line) (field string) {
	p.Each(func(f *policy.Field) {
		if f.Role != policy.DenyRole {
			return
		}
		for _, deny := range *f.Value(p).(*[]string) {
			if landlock.Beneath(absolute(deny, line.TaskDir), line.Path) {
				field = f.Name
			}
		}
	})
	return field
}

// with is the list with a value, once.
func with[T comparable](list []T, value T) []T {
	if slices.Contains(list, value) {
		return list
	}
	return append(slices.Clone(list), value)
}

func absolute(root, taskDir string) string {
	if filepath.IsAbs(root) {
		return filepath.Clean(root)
	}
	return filepath.Join(taskDir, root)
}
