// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/burin-labs/nomad-driver-harn/landlock"
)

// The oracle of these tests is the README, sentence by sentence, over a
// universe that is small enough to be listed. It shares no function with the
// package: what a policy admits is a set, found by trying each element.

// universe are all paths of up to three of these names.
var universe = func() (paths []string) {
	names := []string{"a", "b", "ab"}
	for _, x := range names {
		paths = append(paths, "/"+x)
		for _, y := range names {
			paths = append(paths, "/"+x+"/"+y)
			for _, z := range names {
				paths = append(paths, "/"+x+"/"+y+"/"+z)
			}
		}
	}
	return paths
}()

// places is a set of paths of the universe, a bit for each.
type places uint64

// The task directory, and another name for it, by a symbolic link.
const (
	oracleTask  = "/b/a"
	oracleAlias = "/ab/a"
)

var ownNames = []string{oracleTask, oracleAlias}

// spelled follows a path as a person does who walks it by its names.
func spelled(path string) []string {
	if path[0] != '/' {
		path = oracleTask + "/" + path
	}
	var at []string
	for name := range strings.SplitSeq(path, "/") {
		switch name {
		case "", ".":
		case "..":
			if len(at) > 0 {
				at = at[:len(at)-1]
			}
		default:
			at = append(at, name)
		}
	}
	return at
}

// under are the places at and beneath the roots.
func under(roots []string) (set places) {
	for _, root := range roots {
		found, ok := beneathOf.Load(root)
		if !ok {
			found = beneath(root)
			beneathOf.Store(root, found)
		}
		set |= found.(places)
	}
	return set
}

var beneathOf sync.Map // of what has been looked for

func beneath(root string) (set places) {
	names := spelled(root)
next:
	for i, path := range universe {
		parts := spelled(path)
		if len(parts) < len(names) {
			continue
		}
		for j := range names {
			if parts[j] != names[j] {
				continue next
			}
		}
		set |= 1 << i
	}
	return set
}

var (
	ownPlaces = under(ownNames)
	allPlaces = places(1)<<len(universe) - 1
)

// admitted are the places for which a ceiling's lists have room: "absent roots
// mean any, an empty list means none but the task's own".
func admitted(limit []string, also ...string) places {
	if limit == nil {
		return allPlaces
	}
	return under(limit) | under(also) | ownPlaces
}

// rank is a name's place in an order; absent is where "" stands.
func rank(order []string, name, absent string) int {
	if name == "" {
		name = absent
	}
	return slices.Index(order, name)
}

var (
	profileOrder = []string{"unrestricted", "worktree", "os_hardened"}
	levelOrder   = []string{"none", "read_only", "workspace_write", "process_exec", "network", "desktop_control", ""} // absent: no ceiling
)

// traffic is what a policy admits of the network: "side_effect_level: below
// network there is no network", "with either, the network is TCP on these ports
// and nothing else".
func traffic(p *Policy) map[string]bool {
	set := map[string]bool{}
	if rank(levelOrder, p.SideEffectLevel, "") < rank(levelOrder, "network", "") {
		return set
	}
	if p.TCPConnect == nil && p.TCPBind == nil {
		for _, what := range []string{"udp", "connect 22", "connect 80", "connect 443", "bind 0", "bind 80", "bind 8080"} {
			set[what] = true
		}
		return set
	}
	for _, port := range p.TCPConnect {
		set[fmt.Sprint("connect ", port)] = true
	}
	for _, port := range p.TCPBind {
		set[fmt.Sprint("bind ", port)] = true
	}
	return set
}

// fileRights are what the operations mean: "read_text, list, exists (any of
// them: read, list, execute), write_text (all changes), delete (removing). If
// none of these is granted, the workspace can be read."
func fileRights(capabilities map[string][]string) map[string]bool {
	if capabilities == nil {
		return map[string]bool{"read": true, "write": true, "remove": true}
	}
	rights := map[string]bool{}
	for _, op := range capabilities["workspace"] {
		switch op {
		case "read_text", "list", "exists":
			rights["read"] = true
		case "write_text":
			rights["write"], rights["remove"] = true, true
		case "delete":
			rights["remove"] = true
		}
	}
	if len(rights) == 0 {
		rights["read"] = true
	}
	return rights
}

// named are the capabilities and operations that a policy names.
func named(capabilities map[string][]string) map[string]bool {
	set := map[string]bool{}
	for capability, ops := range capabilities {
		set[capability] = true
		for _, op := range ops {
			set[capability+"."+op] = true
		}
	}
	return set
}

func subset(a, b map[string]bool) bool {
	for element := range a {
		if !b[element] {
			return false
		}
	}
	return true
}

func both(a, b map[string]bool) map[string]bool {
	set := map[string]bool{}
	for element := range a {
		if b[element] {
			set[element] = true
		}
	}
	return set
}

// exceeded are the fields of a request that are beyond a ceiling.
func exceeded(ceiling, request *Policy) map[string]bool {
	fields := map[string]bool{}
	if under(request.WorkspaceRoots)&^admitted(ceiling.WorkspaceRoots) != 0 {
		fields["workspace_roots"] = true
	}
	if under(request.ReadOnlyRoots)&^admitted(ceiling.ReadOnlyRoots, ceiling.WorkspaceRoots...) != 0 {
		fields["read_only_roots"] = true
	}
	if under(request.UnixSocketRoots)&^admitted(ceiling.UnixSocketRoots) != 0 {
		fields["unix_socket_roots"] = true
	}
	for _, device := range request.Devices {
		names := spelled(device)
		byPattern := slices.Contains(ceiling.Devices, "/dev/dri/*") && len(names) == 3 && names[1] == "dri"
		if ceiling.Devices != nil && !slices.Contains(ceiling.Devices, device) && !byPattern {
			fields["devices"] = true
		}
	}
	room := traffic(ceiling)
	for _, port := range request.TCPConnect {
		if !room[fmt.Sprint("connect ", port)] {
			fields["tcp_connect"] = true
		}
	}
	for _, port := range request.TCPBind {
		if !room[fmt.Sprint("bind ", port)] {
			fields["tcp_bind"] = true
		}
	}
	if ceiling.Capabilities != nil && request.Capabilities != nil &&
		(!subset(unscoped(request.Capabilities, ceiling.Capabilities), named(ceiling.Capabilities)) || !subset(fileRights(request.Capabilities), allRights(ceiling))) {
		fields["capabilities"] = true
	}
	if denied(ceiling) && request.LocalIPC != nil && *request.LocalIPC {
		fields["local_ipc"] = true
	}
	// "false is for a task that gets no call of sockets at all. It means nothing at
	// level network": so sockets in roots are beyond one of the two.
	network := rank(levelOrder, "network", "")
	offline := rank(levelOrder, ceiling.SideEffectLevel, "") < network || rank(levelOrder, request.SideEffectLevel, "") < network
	if offline && (denied(ceiling) || denied(request)) && len(request.UnixSocketRoots) > 0 {
		fields["unix_socket_roots"] = true
	}
	exceededInProcess(ceiling, request, offline, fields)
	// "Beats every grant": of a root that lies in one of the ceiling's, nothing is left.
	closed := under(ceiling.ReadDenyRoots)
	if ceiling.ProcessSandbox != nil {
		closed |= under(ceiling.ProcessSandbox.ReadDenyRoots)
	}
	for _, root := range request.WorkspaceRoots {
		if places := under([]string{root}); places != 0 && places&^closed == 0 {
			fields["workspace_roots"] = true
		}
	}
	return fields
}

// exceededInProcess are the members of process_sandbox that are beyond a ceiling: "within those of
// the ceiling's process_sandbox, which are none if absent; without that block as" the other lists.
func exceededInProcess(ceiling, request *Policy, offline bool, fields map[string]bool) {
	s := request.ProcessSandbox
	if s == nil {
		return
	}
	read, write, sockets := admitted(ceiling.ReadOnlyRoots, ceiling.WorkspaceRoots...), admitted(ceiling.WorkspaceRoots), admitted(ceiling.UnixSocketRoots)
	limits := ceiling.ProcessSandbox
	if limits != nil {
		read, write, sockets = under(limits.ReadRoots)|under(limits.WriteRoots)|ownPlaces, under(limits.WriteRoots)|ownPlaces, under(limits.UnixSocketRoots)|ownPlaces
	}
	for field, beyond := range map[string]bool{
		"read_roots": under(s.ReadRoots)&^read != 0, "write_roots": under(s.WriteRoots)&^write != 0,
		"unix_socket_roots":           under(s.UnixSocketRoots)&^sockets != 0 || offline && (denied(ceiling) || denied(request)) && len(s.UnixSocketRoots) > 0,
		"allow_child_workspace_write": s.AllowChildWorkspaceWrite && (!allRights(ceiling)["write"] || !allRights(ceiling)["remove"]),
		"allow_tcp_loopback":          s.AllowTCPLoopback && (limits != nil && !limits.AllowTCPLoopback || offline && (denied(ceiling) || denied(request))),
		"presets":                     limits != nil && limits.Presets != nil && !subset(setOf(s.Presets), setOf(limits.Presets)),
	} {
		if beyond {
			fields["process_sandbox."+field] = true
		}
	}
}

func setOf(names []string) map[string]bool {
	set := map[string]bool{}
	for _, name := range names {
		set[name] = true
	}
	return set
}

// allRights are those of the workspace: "the task may write its workspace, also if capabilities say
// otherwise".
func allRights(p *Policy) map[string]bool {
	rights := fileRights(p.Capabilities)
	if p.ProcessSandbox != nil && p.ProcessSandbox.AllowChildWorkspaceWrite {
		rights["write"], rights["remove"] = true, true
	}
	return rights
}

// unscoped are the operations that a request names. One with a scope is covered by the same without.
func unscoped(request, ceiling map[string][]string) map[string]bool {
	set := map[string]bool{}
	for name := range named(request) {
		if operation, _, _ := strings.Cut(name, "@"); named(ceiling)[operation] {
			name = operation
		}
		set[name] = true
	}
	return set
}

// checkProcess compares what is left of a request that stands: "what the ceiling's process_sandbox
// says, if it has that block", "both lists", "what both allow".
func checkProcess(ceiling, request, got *Policy, fail func(format string, args ...any)) {
	none := &ProcessSandbox{}
	limits, asked, left := none, none, none
	for _, p := range []struct {
		from *Policy
		to   **ProcessSandbox
	}{{ceiling, &limits}, {request, &asked}, {got, &left}} {
		if p.from.ProcessSandbox != nil {
			*p.to = p.from.ProcessSandbox
		}
	}
	for what, lists := range map[string][2][]string{
		"read_roots": {left.ReadRoots, asked.ReadRoots}, "write_roots": {left.WriteRoots, asked.WriteRoots},
		"unix_socket_roots": {left.UnixSocketRoots, asked.UnixSocketRoots}, "presets": {left.Presets, asked.Presets},
	} {
		if !slices.Equal(lists[0], lists[1]) {
			fail("%s: %v has become %v", what, lists[1], lists[0])
		}
	}
	for what, lists := range map[string][3][]string{
		"read_deny_roots": {ceiling.ReadDenyRoots, request.ReadDenyRoots, got.ReadDenyRoots}, "protect": {ceiling.Protect, request.Protect, got.Protect},
		"process_sandbox.read_deny_roots": {limits.ReadDenyRoots, asked.ReadDenyRoots, left.ReadDenyRoots},
	} {
		if both := setOf(append(slices.Clone(lists[0]), lists[1]...)); !maps.Equal(both, setOf(lists[2])) {
			fail("%s: %v and %v give %v", what, lists[0], lists[1], lists[2])
		}
	}
	loopback, introspection := asked.AllowTCPLoopback, asked.AllowProcessSelfIntrospection
	if ceiling.ProcessSandbox != nil {
		loopback, introspection = limits.AllowTCPLoopback, asked.AllowProcessSelfIntrospection && limits.AllowProcessSelfIntrospection
	}
	if len(traffic(got)) == 0 && rank(levelOrder, got.SideEffectLevel, "") < rank(levelOrder, "network", "") && !denied(got) {
		if left.AllowTCPLoopback != loopback {
			fail("loopback is %v", left.AllowTCPLoopback)
		}
	} else if left.AllowTCPLoopback {
		fail("there is a loopback where there is a network, or no socket")
	}
	if left.AllowProcessSelfIntrospection != introspection {
		fail("introspection is %v", left.AllowProcessSelfIntrospection)
	}
	if left.AllowChildWorkspaceWrite != asked.AllowChildWorkspaceWrite {
		fail("writing of the workspace is %v", left.AllowChildWorkspaceWrite)
	}
}

// denied reports whether a policy says local_ipc = false.
func denied(p *Policy) bool { return p.LocalIPC != nil && !*p.LocalIPC }

// checkIntersection compares [Intersect] with the oracle, and reports whether
// the request stands.
func checkIntersection(t *testing.T, ceiling, request *Policy) bool {
	t.Helper()
	fail := func(format string, args ...any) {
		t.Helper()
		t.Fatalf("%+v ∩ %+v: %s", *ceiling, *request, fmt.Sprintf(format, args...))
	}
	beforeCeiling, beforeRequest := ceiling.Clone(), request.Clone()
	got, err := Intersect(ceiling, request, ownNames)
	if !reflect.DeepEqual(ceiling, beforeCeiling) || !reflect.DeepEqual(request, beforeRequest) {
		fail("it has changed them")
	}
	beyond := exceeded(ceiling, request)
	if len(beyond) > 0 {
		if err == nil {
			fail("got %+v, want it refused for %v", *got, beyond)
		}
		blamed := map[string]bool{}
		for problem := range strings.SplitSeq(err.Error(), "; ") {
			field, _, _ := strings.Cut(problem, ":")
			blamed[field] = true
		}
		if !maps.Equal(blamed, beyond) {
			fail("%v, want it to name %v", err, beyond)
		}
		return false
	}
	if err != nil {
		fail("%v, but the request is within the ceiling", err)
	}
	for _, lists := range [][2][]string{
		{got.WorkspaceRoots, request.WorkspaceRoots},
		{got.ReadOnlyRoots, request.ReadOnlyRoots},
		{got.UnixSocketRoots, request.UnixSocketRoots},
		{got.Devices, request.Devices},
	} {
		if !slices.Equal(lists[0], lists[1]) {
			fail("%v has become %v", lists[1], lists[0])
		}
	}
	if want := max(rank(profileOrder, ceiling.SandboxProfile, "worktree"), rank(profileOrder, request.SandboxProfile, "worktree")); rank(profileOrder, got.SandboxProfile, "worktree") != want {
		fail("profile %q, want %q", got.SandboxProfile, profileOrder[want])
	}
	if want := min(rank(levelOrder, ceiling.SideEffectLevel, ""), rank(levelOrder, request.SideEffectLevel, "")); rank(levelOrder, got.SideEffectLevel, "") != want {
		fail("level %q, want %q", got.SideEffectLevel, levelOrder[want])
	}
	if want := both(traffic(ceiling), traffic(request)); !maps.Equal(traffic(got), want) {
		fail("network %v, want %v", traffic(got), want)
	}
	checkProcess(ceiling, request, got, fail)
	rights := both(fileRights(ceiling.Capabilities), fileRights(request.Capabilities))
	for right := range fileRights(request.Capabilities) { // what the ceiling's processes could do without its operations
		if request.Capabilities != nil && allRights(ceiling)[right] {
			rights[right] = true
		}
	}
	if !maps.Equal(fileRights(got.Capabilities), rights) {
		fail("capabilities %v, want the rights %v", got.Capabilities, rights)
	}
	rights = allRights(got)
	if !subset(rights, allRights(ceiling)) || !subset(rights, allRights(request)) {
		fail("the rights %v are more than one of them has", rights)
	}
	access := got.WorkspaceAccess()
	for right, bits := range map[string]landlock.AccessFS{
		"read": landlock.ReadFile | landlock.ReadDir | landlock.Execute, "write": landlock.WriteFile | landlock.MakeReg | landlock.Truncate, "remove": landlock.RemoveFile | landlock.RemoveDir,
	} {
		if rights[right] && access&bits != bits || !rights[right] && access&bits != 0 {
			fail("access %v, want %v", access, rights)
		}
	}
	if got.MinLandlockABI != max(ceiling.MinLandlockABI, request.MinLandlockABI) || denied(got) != (denied(ceiling) || denied(request)) {
		fail("got %+v", got.Extensions)
	}
	if err := got.Validate(); err != nil {
		fail("got %+v: %v", *got, err)
	}
	if again, err := Intersect(ceiling, got, ownNames); err != nil || !reflect.DeepEqual(again, got) {
		fail("got %+v, and once more %+v, %v", *got, again, err)
	}
	return true
}

// tally fails a test in which everything is refused, or nothing.
type tally struct{ stood, refused int }

func (n *tally) check(t *testing.T, ceiling, request *Policy) {
	t.Helper()
	if checkIntersection(t, ceiling, request) {
		n.stood++
	} else {
		n.refused++
	}
}

func (n *tally) report(t *testing.T) {
	t.Helper()
	t.Logf("%d requests stood, %d were refused", n.stood, n.refused)
	if n.stood == 0 || n.refused == 0 {
		t.Error("the test shows nothing")
	}
}

// Each field of roots, under each ceiling of up to two roots.
func TestIntersectRootsOfTheUniverse(t *testing.T) {
	requests := []string{
		"a", "a/b", ".", "./a/../b", // the task's own
		oracleTask, oracleTask + "/a", oracleAlias, oracleAlias + "/./a", "/a/../b/a/b", // by an absolute path
		oracleTask + "/..", oracleTask + "/../a", oracleTask + "/a/../../b", oracleTask + "b", // its own by the beginning alone
		"//a//b/", "/a/b/../ab", "/../a",
	}
	requests = append(requests, universe...)
	ceilings := [][]string{nil, {}}
	for i, first := range universe {
		ceilings = append(ceilings, []string{first})
		for _, second := range universe[:i] {
			ceilings = append(ceilings, []string{first, second})
		}
	}
	set := map[string]func(p *Policy, roots []string){
		"workspace_roots":   func(p *Policy, roots []string) { p.WorkspaceRoots = roots },
		"read_only_roots":   func(p *Policy, roots []string) { p.ReadOnlyRoots = roots },
		"unix_socket_roots": func(p *Policy, roots []string) { p.UnixSocketRoots = roots },
	}
	for field, setRoots := range set {
		t.Run(field, func(t *testing.T) {
			var n tally
			for _, limit := range ceilings {
				for _, root := range requests {
					var ceiling, request Policy
					setRoots(&ceiling, limit)
					setRoots(&request, []string{root})
					n.check(t, &ceiling, &request)
				}
			}
			n.report(t)
		})
	}
	// Reading is admitted where writing is, if a ceiling limits reading at all.
	t.Run("both lists", func(t *testing.T) {
		var n tally
		for _, readOnly := range ceilings {
			if len(readOnly) > 1 || len(strings.Join(readOnly, "")) > len("/a/ab") {
				continue
			}
			for _, workspace := range ceilings {
				if len(workspace) > 1 || len(strings.Join(workspace, "")) > len("/a/ab") {
					continue
				}
				ceiling := Policy{ReadOnlyRoots: readOnly, WorkspaceRoots: workspace}
				for i, root := range universe {
					n.check(t, &ceiling, &Policy{ReadOnlyRoots: []string{root}})
					n.check(t, &ceiling, &Policy{ReadOnlyRoots: []string{root}, WorkspaceRoots: []string{universe[(i*7+3)%len(universe)]}})
				}
			}
		}
		n.report(t)
	})
}

// Every set of workspace operations, under every other.
func TestIntersectCapabilitiesOfTheUniverse(t *testing.T) {
	ops := []string{"read_text", "list", "exists", "write_text", "delete", "apply_edit"}
	all := []map[string][]string{nil, {}, {"workspace": nil}, {"process": {"exec"}}, {"process": {}}, {"process": {"exec", "spawn"}, "workspace": {"list"}}}
	for bits := range 1 << len(ops) {
		some := []string{}
		for i, op := range ops {
			if bits&(1<<i) != 0 {
				some = append(some, op)
			}
		}
		all = append(all, map[string][]string{"workspace": some})
	}
	var n tally
	for _, limit := range all {
		for _, wanted := range all {
			n.check(t, &Policy{Capabilities: limit}, &Policy{Capabilities: wanted})
		}
	}
	n.report(t)
}

// Every profile, level and list of ports, under every other.
func TestIntersectNetworksOfTheUniverse(t *testing.T) {
	var all []Policy
	for _, profile := range append([]string{""}, profileOrder...) {
		for _, level := range levelOrder {
			for _, connect := range [][]int{nil, {}, {443}, {80, 443}, {22}} {
				for _, bind := range [][]int{nil, {}, {0}, {80, 8080}} {
					p := Policy{SandboxProfile: profile, SideEffectLevel: level, Extensions: Extensions{TCPConnect: connect, TCPBind: bind}}
					if p.Validate() == nil && (profile == "" || connect == nil) {
						all = append(all, p)
					}
				}
			}
		}
	}
	var n tally
	for i := range all {
		for j := range all {
			n.check(t, &all[i], &all[j])
		}
	}
	n.report(t)
}

// Local communication, sockets in roots and levels depend on one another.
func TestIntersectLocalIPCOfTheUniverse(t *testing.T) {
	var all []Policy
	for _, level := range levelOrder {
		for _, local := range []*bool{nil, new(true), new(false)} {
			for _, sockets := range [][]string{nil, {}, {"/a"}, {"b"}} {
				p := Policy{SideEffectLevel: level, Extensions: Extensions{LocalIPC: local, UnixSocketRoots: sockets}}
				if p.Validate() == nil {
					all = append(all, p)
				}
			}
		}
	}
	var n tally
	for i := range all {
		for j := range all {
			if !slices.Contains(all[i].UnixSocketRoots, "b") { // a ceiling's roots are absolute
				n.check(t, &all[i], &all[j])
			}
		}
	}
	n.report(t)
}

// Each member of process_sandbox, under each other, with and without the fields that it depends on.
func TestIntersectProcessSandboxOfTheUniverse(t *testing.T) {
	blocks := []*ProcessSandbox{
		nil,
		{},
		{Presets: []string{}},
		{Presets: []string{"system_runtime", "go"}},
		{Presets: []string{"go"}},
		{ReadRoots: []string{"/a"}},
		{ReadRoots: []string{"/a/b"}, WriteRoots: []string{"/b"}},
		{WriteRoots: []string{oracleTask + "/a", "/a/b"}},
		{ReadDenyRoots: []string{"/a/b/a"}},
		{ReadDenyRoots: []string{"/ab/ab", "/a/b/a"}},
		{AllowTCPLoopback: true},
		{AllowTCPLoopback: true, UnixSocketRoots: []string{"/a"}},
		{UnixSocketRoots: []string{"/a/a"}},
		{AllowProcessSelfIntrospection: true},
		{AllowChildWorkspaceWrite: true},
		{AllowChildWorkspaceWrite: true, NetnsLauncherPath: "/x"},
	}
	var all []Policy
	for _, block := range blocks {
		for _, level := range []string{"", "none", "desktop_control"} {
			for _, capabilities := range []map[string][]string{nil, {}, {"workspace": {"read_text", "write_text@plan"}}, {"workspace": {"delete"}}, {"workspace": {"read_text", "write_text"}}} {
				for _, local := range []*bool{nil, new(false)} {
					all = append(all, Policy{SideEffectLevel: level, Capabilities: capabilities, ProcessSandbox: block, Extensions: Extensions{LocalIPC: local}})
				}
			}
		}
		all = append(all,
			Policy{ProcessSandbox: block, WorkspaceRoots: []string{"/b"}, ReadOnlyRoots: []string{}},
			Policy{ProcessSandbox: block, WorkspaceRoots: []string{"/b/b", "/a/b/a"}},
			Policy{ProcessSandbox: block, Extensions: Extensions{UnixSocketRoots: []string{}, ReadDenyRoots: []string{"/a/a"}, Protect: []string{".git/hooks"}}},
			Policy{ProcessSandbox: block, Extensions: Extensions{TCPConnect: []int{443}, ReadDenyRoots: []string{"/b/b", "/a/a"}, Protect: []string{"a", ".git/hooks"}}})
	}
	all = slices.DeleteFunc(all, func(p Policy) bool { return p.Validate() != nil })
	var n tally
	for i := range all {
		for j := range all {
			n.check(t, &all[i], &all[j])
		}
	}
	n.report(t)
}

func TestIntersectDevices(t *testing.T) {
	lists := [][]string{nil, {}, {"/dev/kvm"}, {"/dev/dri/card0"}, {"/dev/dri/*"}, {"/dev/kvm", "/dev/dri/*"}}
	var n tally
	for _, limit := range lists {
		for _, wanted := range [][]string{nil, {}, {"/dev/kvm"}, {"/dev/dri/card0"}, {"/dev/dri/x/y"}, {"/dev/kvm", "/dev/mem"}} {
			n.check(t, &Policy{Extensions: Extensions{Devices: limit}}, &Policy{Extensions: Extensions{Devices: wanted}})
		}
	}
	n.report(t)
}

// What others chose is quoted before a person sees it.
func TestIntersectQuotes(t *testing.T) {
	const evil = "\x1b[2J\n"
	ceiling := &Policy{WorkspaceRoots: []string{}, ReadOnlyRoots: []string{}, Capabilities: map[string][]string{}, Extensions: Extensions{UnixSocketRoots: []string{}, Devices: []string{}}}
	request := &Policy{
		WorkspaceRoots: []string{"/w" + evil}, ReadOnlyRoots: []string{"/r" + evil}, Capabilities: map[string][]string{"c" + evil: nil},
		Extensions: Extensions{UnixSocketRoots: []string{"/s" + evil}, Devices: []string{"/dev/d" + evil}},
	}
	_, err := Intersect(ceiling, request, nil)
	checkError(t, "quoted", err, []string{`"/w\x1b[2J\n"`, `"/r\x1b`, `"c\x1b`, `"/s\x1b`, `"/dev/d\x1b`})
	if err != nil && strings.ContainsAny(err.Error(), evil[:1]) {
		t.Errorf("%q holds a control character", err)
	}
}

// picker makes policies of a fuzzer's bytes: each chooses a value.
type picker []byte

func (p *picker) pick(n int) int {
	if len(*p) == 0 {
		return 0
	}
	b := (*p)[0]
	*p = (*p)[1:]
	return int(b) % n
}

func pickOne[T any](p *picker, values ...T) T { return values[p.pick(len(values))] }

// pickSome is nil, an empty list, or up to three of the values.
func pickSome[T any](p *picker, values ...T) []T {
	n := p.pick(5)
	if n == 0 {
		return nil
	}
	some := []T{}
	for range n - 1 {
		some = append(some, pickOne(p, values...))
	}
	return some
}

// roots are places of the universe, some of them spelled otherwise. A ceiling
// has absolute ones only.
func (p *picker) roots(ceiling bool) []string {
	roots := pickSome(p, universe...)
	for i, root := range roots {
		switch p.pick(6) {
		case 0:
			roots[i] = root + "/../ab"
		case 1:
			roots[i] = root + "/./"
		case 2:
			if !ceiling {
				roots[i] = root[1:]
			}
		}
	}
	return roots
}

func (p *picker) policy(ceiling bool) *Policy {
	made := &Policy{
		SandboxProfile: pickOne(p, append([]string{""}, profileOrder...)...), SideEffectLevel: pickOne(p, levelOrder...),
		WorkspaceRoots: p.roots(ceiling), ReadOnlyRoots: p.roots(ceiling),
	}
	if p.pick(2) == 1 {
		made.Capabilities = map[string][]string{}
		if ops := pickSome(p, "read_text", "list", "exists", "write_text", "delete", "apply_edit"); ops != nil {
			made.Capabilities[Workspace] = ops
		}
		if ops := pickSome(p, "exec", "spawn"); ops != nil {
			made.Capabilities["process"] = ops
		}
	}
	made.UnixSocketRoots = p.roots(ceiling)
	made.TCPConnect, made.TCPBind = pickSome(p, 22, 80, 443), pickSome(p, 0, 80, 8080)
	made.Devices = pickSome(p, "/dev/kvm", "/dev/dri/card0", "/dev/mem")
	made.MinLandlockABI = p.pick(12)
	made.ReadDenyRoots, made.Protect = pickSome(p, "/a/b/a", "/ab/b"), pickSome(p, ".git/hooks", ".mcp.json")
	if p.pick(2) == 1 {
		made.ProcessSandbox = &ProcessSandbox{
			Presets: pickSome(p, "go", "node", "system_runtime"), ReadRoots: p.roots(ceiling), WriteRoots: p.roots(ceiling), UnixSocketRoots: p.roots(ceiling),
			ReadDenyRoots: pickSome(p, "/a/b/a", "/b/b"), AllowTCPLoopback: p.pick(2) == 1, AllowProcessSelfIntrospection: p.pick(2) == 1,
			AllowChildWorkspaceWrite: p.pick(2) == 1,
		}
	}
	made.LocalIPC = []*bool{nil, new(true), new(false)}[p.pick(3)]
	return made
}

// Whatever a ceiling and a request hold, the oracle and Intersect agree.
func FuzzIntersect(f *testing.F) {
	f.Add([]byte{}, []byte{})
	f.Add([]byte{2, 5, 2, 1, 2, 1, 1, 3, 1, 2}, []byte{3, 4, 1, 0, 0, 1, 2, 1})
	f.Add([]byte{0, 5, 0, 1}, []byte{0, 5, 0, 2, 1, 3}) // a ceiling without any root to read
	f.Add([]byte{0, 4, 1, 1, 0, 1, 2, 30, 1}, []byte{0, 4, 2, 31, 3, 1, 0, 2, 30, 3, 2, 1})
	f.Fuzz(func(t *testing.T, left, right []byte) {
		ceiling, request := (*picker)(&left).policy(true), (*picker)(&right).policy(false)
		if ceiling.Validate() != nil || request.Validate() != nil {
			return
		}
		checkIntersection(t, ceiling, request)
	})
}
