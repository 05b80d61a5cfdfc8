// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package command

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/fatih/color"

	"github.com/burin-labs/nomad-driver-harn/internal/plain"
	"github.com/burin-labs/nomad-driver-harn/landlock"
	"github.com/burin-labs/nomad-driver-harn/policy"
	"github.com/burin-labs/nomad-driver-harn/sandbox"
	"github.com/burin-labs/nomad-driver-harn/seccomp"
)

// Explanation is what is said of a task.
type Explanation struct {
	Profile      string           `json:"profile"`
	ABI          int              `json:"landlock_abi"`
	Files        []FileAccess     `json:"files"`
	AllFiles     bool             `json:"all_files"` // the task sees the host's
	Masked       []string         `json:"masked"`
	Denied       []closedPath     `json:"denied"` // by the policy, and credentials
	Kept         []closedPath     `json:"kept"`
	Network      string           `json:"network"`
	LocalIPC     string           `json:"local_ipc,omitempty"` // without a network
	Egress       []string         `json:"egress,omitempty"`    // which hosts, a line each
	Namespaces   []string         `json:"namespaces"`
	User         string           `json:"user"`
	Capabilities []string         `json:"capabilities"`
	Limits       []string         `json:"limits"`
	Syscalls     []deniedSyscalls `json:"denied_syscalls"`
	Warning      string           `json:"warning,omitempty"`
	NotEnforced  []string         `json:"not_enforced_here"`
	// Command is where the program is, or how the job names it where that is not known
	// here; WorkDir is where it starts.
	Command     string `json:"command,omitempty"`
	NotLookedUp bool   `json:"command_not_looked_up,omitempty"`
	WorkDir     string `json:"work_dir"`

	Missing []string `json:"missing"`
	// Unknown are the variables that have a value on a node only.
	Unknown []string `json:"unknown_variables"`
}

// FileAccess is what the task can do with a path.
type FileAccess struct {
	Path   string   `json:"path"`
	Access string   `json:"access"` // of r, w and x
	Rights string   `json:"rights"` // Landlock's names
	Why    []string `json:"why"`
	// partial is what the letters of Access do not tell.
	partial string
}

// closedPath is a place that a task does not reach, or change, whatever is there.
type closedPath struct {
	Path string `json:"path"`
	Why  string `json:"why"`
}

type deniedSyscalls struct {
	Group string            `json:"group"`
	Calls map[string]string `json:"calls"` // and what a program could do with each
}

// newExplanation words what was found. names puts what a reader knows in the
// place of directories that stand for others.
func newExplanation(found *sandbox.Explanation, r *request, names *strings.Replacer) *Explanation {
	plan := found.Plan
	e := &Explanation{
		Profile: plan.Profile.String(), ABI: int(plan.ABI), AllFiles: found.AllFiles,
		Files: []FileAccess{}, Masked: []string{}, Denied: []closedPath{}, Kept: []closedPath{}, Syscalls: []deniedSyscalls{},
		Warning: plan.Warning, NotEnforced: append([]string{}, plan.Notes...), Missing: append([]string{}, found.Missing...),
		Capabilities: append([]string{}, found.Capabilities...), Limits: append(r.limits(), found.Limits...),
		Namespaces: namespaces(found, r), User: found.User, Unknown: append([]string{}, r.unknown()...),
	}
	e.Command, e.NotLookedUp, e.WorkDir = names.Replace(found.Program), found.Unchecked, names.Replace(found.WorkDir)
	if e.User == "" {
		e.User = "one of its own, of Nomad's dynamic workload users"
	}
	e.NotEnforced = append(e.NotEnforced, r.notes...)
	e.NotEnforced = append(e.NotEnforced, r.sharing(found)...)
	if note := levelNote(found.Level); note != "" {
		e.NotEnforced = append(e.NotEnforced, note)
	}
	set := plan.Landlock
	switch {
	case plan.Loopback:
		e.Network, e.LocalIPC = "TCP on a loopback of the task's own", localIPC(plan)
	case !plan.Network:
		e.Network, e.LocalIPC = "denied", localIPC(plan)
	case plan.Egress != nil:
		e.Network, e.Egress = "TCP to the hosts that egress names, and nothing else", egressLines(plan)
		if plan.Egress.Others {
			e.Network = "TCP to all hosts except those that egress denies, and nothing else"
		}
	case set != nil && set.HandledNet != 0:
		e.Network = "TCP only, to ports: " + ports(set)
	default:
		e.Network = "allowed"
	}
	for _, f := range found.Files {
		e.Files = append(e.Files, FileAccess{names.Replace(f.Path), letters(f.Access), f.Access.String(), f.Why, partial(f.Access)})
	}
	e.Files = append(e.Files, r.volumes(found)...)
	for _, path := range found.Masked {
		e.Masked = append(e.Masked, names.Replace(path))
	}
	for _, m := range found.Marked {
		list := &e.Denied
		if m.Readable {
			list = &e.Kept
		}
		*list = append(*list, closedPath{names.Replace(m.Path), m.Why})
	}
	for _, group := range plan.Deny {
		denied := deniedSyscalls{Group: group.Name, Calls: map[string]string{}}
		for _, entry := range group.Entries {
			denied.Calls[entry.String()] = entry.Why
		}
		e.Syscalls = append(e.Syscalls, denied)
	}
	for _, list := range []*[]string{&e.NotEnforced, &e.Missing, &e.Limits} {
		*list = once(*list, names)
	}
	return e
}

// once is each line once, with the names that a reader knows.
func once(lines []string, names *strings.Replacer) []string {
	out := []string{}
	for _, line := range lines {
		if line = names.Replace(line); !slices.Contains(out, line) {
			out = append(out, line)
		}
	}
	return out
}

// start says what is executed and where.
func (e *Explanation) start() []string {
	var lines []string
	switch {
	case e.NotLookedUp:
		lines = append(lines, e.Command+", which is not looked up here: an artifact, a volume or another task brings it")
	case e.Command != "":
		lines = append(lines, e.Command)
	}
	return append(lines, "starts in "+e.WorkDir)
}

// egressLines say what each rule of egress admits.
func egressLines(plan *policy.Plan) (lines []string) {
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	for _, r := range plan.Egress.Allow {
		add("allow %v: %s", r, r.Describe())
	}
	for _, r := range plan.Egress.Deny {
		add("deny %v: %s", r, r.Describe())
	}
	if plan.Egress.Others {
		add("others: allowed")
	} else {
		add("others: denied, and their names do not exist")
	}
	if plan.Egress.Private {
		add("names that resolve to private addresses, or to the node's: allowed (block_private = false)")
	} else {
		add("names that resolve to private addresses, or to the node's: denied, unless a rule allows the address")
	}
	if set := plan.Landlock; set != nil && set.HandledNet != 0 {
		add("of TCP ports, these alone: %s", ports(set))
	}
	return lines
}

// ports are those that rules admit, and for what.
func ports(set *landlock.Ruleset) string {
	var all []string
	for _, rule := range set.Ports {
		all = append(all, fmt.Sprintf("%d %v", rule.Port, rule.Access))
	}
	return strings.Join(all, ", ")
}

// levelNote says what a side-effect level does not do that has a name which promises
// it: of the levels, only network means something to the kernel, as in Harn.
func levelNote(level string) string {
	switch level {
	case policy.LevelNone.String(), policy.LevelReadOnly.String():
		return "side_effect_level = \"" + level + "\" denies the network, and neither writing nor executing: workspace_roots and capabilities.workspace decide what can be written, and what can be read can be executed"
	}
	return ""
}

// localIPC says which sockets a task without network has.
func localIPC(plan *policy.Plan) string {
	switch {
	case slices.Contains(plan.Deny, seccomp.UnixOnly), slices.Contains(plan.Deny, seccomp.TCPAndUnix):
		return "UNIX sockets: of the task itself, and where it may connect to them"
	case slices.Contains(plan.Deny, seccomp.LocalIPC), slices.Contains(plan.Deny, seccomp.TCPAndPairs):
		return "UNIX sockets: pairs, none with a path or name"
	case slices.Contains(plan.Deny, seccomp.Network):
		return "UNIX sockets: none, not even pairs (local_ipc = false)"
	}
	return ""
}

func namespaces(found *sandbox.Explanation, r *request) []string {
	private := func(host bool, what string) string {
		if host {
			return what + ": the host's"
		}
		return what + ": private"
	}
	network := "network: " + r.network()
	switch {
	case found.Plan.Loopback:
		network = "network: private, with a loopback alone"
	case !found.Plan.Network:
		network = "network: private, with nothing in it"
	case found.Plan.Egress != nil:
		network = "network: private, with a way to the hosts that egress names"
	}
	return []string{"mounts: private", private(found.HostPID, "processes"), private(found.HostIPC, "IPC"), network}
}

// letters are the rights as ls(1) shows permissions.
func letters(access landlock.AccessFS) string {
	out := []byte("---")
	for i, right := range []landlock.AccessFS{landlock.ReadFile | landlock.ReadDir, landlock.WriteFile, landlock.Execute} {
		if access&right != 0 {
			out[i] = "rwx"[i]
		}
	}
	return string(out)
}

// partial is what letters cannot tell of the rights: those on a directory that
// can be changed in some ways only, and those that are about something else.
func partial(access landlock.AccessFS) string {
	const change = policy.FullAccess &^ policy.ReadAccess
	var parts []string
	// Kernels differ in the rights that they know; those of all are enough here.
	if c := access & change; c != 0 && access&^landlock.FileRights&change != 0 && (c&landlock.WriteFile == 0 || c&landlock.MakeReg == 0) {
		parts = append(parts, "of changes only "+c.String())
	}
	if access&landlock.IoctlDev != 0 {
		parts = append(parts, "with ioctl")
	}
	if access == landlock.ResolveUnix {
		parts = append(parts, "connecting to sockets")
	}
	return strings.Join(parts, ", ")
}

// part is one of the parts of what is shown.
type part struct {
	title string
	lines []string
	warn  bool
}

func (e *Explanation) parts() []part {
	files := []string{"all, as far as file permissions go"}
	if !e.AllFiles {
		files = nil
		width := 0
		for _, f := range e.Files {
			width = max(width, len(f.Path))
		}
		for _, f := range e.Files {
			line := fmt.Sprintf("%s  %-*s  %s", f.Access, width, plain.Name(f.Path), strings.Join(f.Why, ", "))
			if f.partial != "" {
				line += ", " + f.partial
			}
			files = append(files, line)
		}
		if len(e.Masked) > 0 {
			files = append(files, "---  covered: "+strings.Join(e.Masked, " "))
		}
		files = append(files, closedLines("---", e.Denied)...)
		files = append(files, closedLines("r--", e.Kept)...)
		files = append(files, "nothing else is there to be found; of what a path is in, the longest line decides")
	}
	var calls []string
	for _, group := range e.Syscalls {
		calls = append(calls, group.lines()...)
	}
	if len(calls) == 0 {
		calls = []string{"none"}
	}
	user := []string{e.User, "capabilities: " + orNone(strings.Join(e.Capabilities, " "))}
	all := []part{
		{title: "Profile", lines: []string{fmt.Sprintf("%s, Landlock ABI %d", e.Profile, e.ABI)}},
		{title: "Program", lines: e.start()},
		{title: "Files", lines: files},
		{title: "Network", lines: slices.DeleteFunc(append([]string{e.Network, e.LocalIPC}, e.Egress...), func(line string) bool { return line == "" })},
		{title: "Namespaces", lines: e.Namespaces},
		{title: "User", lines: user},
		{title: "Limits", lines: e.Limits},
		{title: "System calls denied", lines: calls},
		{title: "Not enforced here", lines: e.NotEnforced, warn: true},
		{title: "Variables that have a value when the task is placed, and are as they are written here", lines: e.Unknown, warn: true},
		{title: "Missing here, so that the task would be refused", lines: e.Missing, warn: true},
	}
	if e.Warning != "" {
		all = append(all, part{title: "Warning", lines: []string{e.Warning}, warn: true})
	}
	return all
}

// closedLines are places, those of one reason on one line.
func closedLines(access string, places []closedPath) (lines []string) {
	byWhy := map[string][]string{}
	for _, place := range places {
		byWhy[place.Why] = append(byWhy[place.Why], plain.Name(place.Path))
	}
	for _, why := range slices.Sorted(maps.Keys(byWhy)) {
		lines = append(lines, fmt.Sprintf("%s  %s: %s", access, why, strings.Join(byWhy[why], " ")))
	}
	return lines
}

// lines are the calls of a group by the reason, those of one on one line.
func (d *deniedSyscalls) lines() (lines []string) {
	byWhy := map[string][]string{}
	for name, why := range d.Calls {
		byWhy[why] = append(byWhy[why], name)
	}
	for _, why := range slices.Sorted(maps.Keys(byWhy)) {
		slices.Sort(byWhy[why])
		lines = append(lines, fmt.Sprintf("%s: %s: %s", d.Group, strings.Join(byWhy[why], " "), why))
	}
	slices.Sort(lines)
	return lines
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

func (e *Explanation) print(c *Command) {
	for _, s := range e.parts() {
		if len(s.lines) == 0 {
			continue
		}
		title, body := color.New(color.Bold), color.New()
		if s.warn {
			title, body = color.New(color.Bold, color.FgYellow), color.New(color.FgYellow)
		}
		_, _ = title.Fprintln(c.Stdout, s.title)
		for _, line := range s.lines {
			_, _ = body.Fprintf(c.Stdout, "  %s\n", plain.Text(line))
		}
	}
}

// changes are what one explanation has and the other has not, by the title of
// the part.
type changes struct {
	Removed map[string][]string `json:"removed"`
	Added   map[string][]string `json:"added"`
	titles  []string
}

// difference compares two explanations line by line. Their parts are in the
// same order.
func difference(before, after []part) *changes {
	d := &changes{Removed: map[string][]string{}, Added: map[string][]string{}}
	lines := func(all []part, title string) (lines []string) {
		for _, s := range all {
			if s.title == title {
				for _, line := range s.lines {
					lines = append(lines, strings.Join(strings.Fields(line), " ")) // columns differ in width
				}
			}
		}
		return lines
	}
	for _, s := range append(slices.Clone(before), after...) {
		if slices.Contains(d.titles, s.title) {
			continue
		}
		d.titles = append(d.titles, s.title)
		old, changed := lines(before, s.title), lines(after, s.title)
		for _, line := range old {
			if !slices.Contains(changed, line) {
				d.Removed[s.title] = append(d.Removed[s.title], line)
			}
		}
		for _, line := range changed {
			if !slices.Contains(old, line) {
				d.Added[s.title] = append(d.Added[s.title], line)
			}
		}
	}
	return d
}

func (d *changes) print(c *Command) {
	if len(d.Removed)+len(d.Added) == 0 {
		fmt.Fprintln(c.Stdout, "No difference.")
		return
	}
	bold, minus, plus := color.New(color.Bold), color.New(color.FgRed), color.New(color.FgGreen)
	for _, title := range d.titles {
		if len(d.Removed[title])+len(d.Added[title]) == 0 {
			continue
		}
		_, _ = bold.Fprintln(c.Stdout, title)
		for _, line := range d.Removed[title] {
			_, _ = minus.Fprintf(c.Stdout, "- %s\n", plain.Text(line))
		}
		for _, line := range d.Added[title] {
			_, _ = plus.Fprintf(c.Stdout, "+ %s\n", plain.Text(line))
		}
	}
}
