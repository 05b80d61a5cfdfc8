// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/burin-labs/nomad-driver-harn/landlock"
	"github.com/burin-labs/nomad-driver-harn/seccomp"
)

var update = flag.Bool("update", false, "write the golden files")

// newer is an ABI that this code does not know.
const newer landlock.ABI = 99

// abis are those that every plan is built for.
func abis() []landlock.ABI {
	var all []landlock.ABI
	for abi := range landlock.NewestABI() + 1 {
		all = append(all, abi)
	}
	return append(all, newer)
}

var base = Base{
	System:  []string{"/usr", "/usr/bin", "/usr/lib", "/usr/lib64", "/etc"},
	Scratch: []string{"/tmp", "/dev/shm"},
	Servers: []string{"/tmp", "/dev/shm"},
	Kernel:  []string{"/proc", "/sys/devices/system/cpu"},
	Listed:  []string{"/dev"},
	Devices: []Device{
		{Path: "/dev/null", Read: true, Write: true},
		{Path: "/dev/nvidia0", Read: true, Write: true, Ioctl: true},
		{Path: "/dev/urandom", Read: true},
	},
	Terminals: []string{"/dev/pts", "/dev/tty"},
	Volumes:   []Volume{{Path: "/data"}, {Path: "/models", ReadOnly: true}},
	Network:   []string{"/run/systemd/resolve/stub-resolv.conf"},
}

// lexical resolves roots without a file system.
func lexical(p *Policy) Roots {
	const taskDir = "/alloc_mounts/a1-t"
	join := func(roots []string) []string {
		var out []string
		for _, r := range roots {
			if !filepath.IsAbs(r) {
				r = filepath.Join(taskDir, r)
			}
			out = append(out, filepath.Clean(r))
		}
		return out
	}
	roots := Roots{Workspace: join(p.WorkspaceRoots), ReadOnly: join(p.ReadOnlyRoots), Sockets: join(p.UnixSocketRoots)}
	if len(p.WorkspaceRoots) == 0 {
		roots.Workspace = []string{taskDir}
	}
	if s := p.ProcessSandbox; s != nil {
		if p.MayWrite() {
			roots.add(WorkspaceRole, join(s.WriteRoots))
		}
		roots.add(ReadRole, join(s.ReadRoots))
		roots.add(SocketRole, join(s.UnixSocketRoots))
	}
	p.Each(func(f *Field) {
		if f.Role == DenyRole {
			roots.Denied = append(roots.Denied, marks(f, *f.list(p), []string{taskDir})...)
		}
	})
	return roots
}

var goldenPolicies = []struct {
	name string
	Policy
	Fallback
}{
	{name: "default"},
	{name: "default-warn", Fallback: Warn},
	{name: "default-off", Fallback: Off},
	{name: "worktree", Policy: Policy{SandboxProfile: "worktree"}},
	{name: "os_hardened", Policy: Policy{SandboxProfile: "os_hardened"}},
	{name: "os_hardened-warn", Policy: Policy{SandboxProfile: "os_hardened"}, Fallback: Warn},
	{name: "os_hardened-off", Policy: Policy{SandboxProfile: "os_hardened"}, Fallback: Off},
	{name: "unrestricted", Policy: Policy{SandboxProfile: "unrestricted"}},
	{name: "level-none", Policy: Policy{SideEffectLevel: "none"}},
	{name: "level-read_only", Policy: Policy{SideEffectLevel: "read_only"}},
	{name: "level-workspace_write", Policy: Policy{SideEffectLevel: "workspace_write"}},
	{name: "level-process_exec", Policy: Policy{SideEffectLevel: "process_exec"}},
	{name: "level-network", Policy: Policy{SideEffectLevel: "network"}},
	{name: "level-none-warn", Policy: Policy{SideEffectLevel: "none"}, Fallback: Warn},
	{name: "capabilities-empty", Policy: Policy{Capabilities: map[string][]string{}}},
	{name: "capabilities-workspace-empty", Policy: Policy{Capabilities: map[string][]string{"workspace": {}}}},
	{name: "capabilities-process-only", Policy: Policy{Capabilities: map[string][]string{"process": {"exec"}}}},
	{name: "capabilities-read", Policy: Policy{Capabilities: map[string][]string{"workspace": {"read_text"}}}},
	{name: "capabilities-list", Policy: Policy{Capabilities: map[string][]string{"workspace": {"list"}}}},
	{name: "capabilities-exists", Policy: Policy{Capabilities: map[string][]string{"workspace": {"exists"}}}},
	{name: "capabilities-write", Policy: Policy{Capabilities: map[string][]string{"workspace": {"write_text"}}}},
	{name: "capabilities-delete", Policy: Policy{Capabilities: map[string][]string{"workspace": {"delete"}}}},
	{name: "capabilities-read-write", Policy: Policy{Capabilities: map[string][]string{"workspace": {"read_text", "write_text"}}}},
	{name: "capabilities-in-harn-only", Policy: Policy{Capabilities: map[string][]string{"workspace": {"apply_edit", "roots"}, "git": {"get_diff"}}}},
	{name: "roots", Policy: Policy{WorkspaceRoots: []string{"local", "/srv/work"}, ReadOnlyRoots: []string{"/srv/models"}}},
	{name: "roots-nested", Policy: Policy{WorkspaceRoots: []string{"local", "local/sub", "local"}, ReadOnlyRoots: []string{"local/sub/ro", "/usr/share"}}},
	{name: "roots-read-only-above", Policy: Policy{WorkspaceRoots: []string{"/srv/work/a"}, ReadOnlyRoots: []string{"/srv/work"}}},
	{name: "ports", Policy: Policy{SideEffectLevel: "network", Extensions: Extensions{TCPConnect: []int{443, 80, 443}, TCPBind: []int{8080, 443}}}},
	{name: "ports-connect", Policy: extended(Extensions{TCPConnect: []int{443}})},
	{name: "ports-none", Policy: extended(Extensions{TCPConnect: []int{}})},
	{name: "unix-sockets", Policy: Policy{SideEffectLevel: "none", Extensions: Extensions{UnixSocketRoots: []string{"/run/db", "local/sockets"}}}},
	{name: "unix-sockets-network", Policy: extended(Extensions{UnixSocketRoots: []string{"/run/db"}})},
	{name: "local-ipc", Policy: Policy{SideEffectLevel: "process_exec", Extensions: Extensions{LocalIPC: new(true)}}},
	{name: "local-ipc-off", Policy: Policy{SideEffectLevel: "process_exec", Extensions: Extensions{LocalIPC: new(false)}}},
	{name: "local-ipc-off-network", Policy: extended(Extensions{LocalIPC: new(false)})},
	{name: "loopback", Policy: Policy{SideEffectLevel: "process_exec", ProcessSandbox: &ProcessSandbox{AllowTCPLoopback: true}}},
	{name: "child-workspace-write", Policy: Policy{
		Capabilities:   map[string][]string{"workspace": {"read_text"}},
		ProcessSandbox: &ProcessSandbox{AllowChildWorkspaceWrite: true, ReadRoots: []string{"/srv/models"}, WriteRoots: []string{"/srv/cache"}},
	}},
	{name: "min-abi", Policy: extended(Extensions{MinLandlockABI: 6})},
	{name: "agent", Policy: Policy{
		SandboxProfile: "os_hardened", SideEffectLevel: "process_exec",
		WorkspaceRoots: []string{"local"}, ReadOnlyRoots: []string{"/srv/models"},
		Capabilities: map[string][]string{
			"workspace": {"read_text", "list", "exists", "write_text"},
			"process":   {"exec"},
		},
	}},
}

func TestGoldenPlans(t *testing.T) {
	if len(goldenPolicies) < 20 {
		t.Fatalf("%d policies, want at least 20", len(goldenPolicies))
	}
	var files []string
	for _, tc := range goldenPolicies {
		files = append(files, tc.name+".golden")
		t.Run(tc.name, func(t *testing.T) {
			if err := tc.Validate(); err != nil {
				t.Fatal(err)
			}
			// ABIs with the same plan share it in the file.
			var plans []string
			shared := map[string][]string{}
			for _, abi := range abis() {
				node := Node{ABI: abi, Fallback: tc.Fallback}
				if abi == 0 {
					node.Absent = landlock.ErrNotBuilt
				}
				var text string
				if plan, err := Build(&tc.Policy, lexical(&tc.Policy), base, node); err != nil {
					text = "refused: " + err.Error() + "\n"
				} else {
					text = plan.String()
				}
				if shared[text] == nil {
					plans = append(plans, text)
				}
				shared[text] = append(shared[text], fmt.Sprint(abi))
			}
			var b strings.Builder
			for _, text := range plans {
				fmt.Fprintf(&b, "== ABI %s\n%s", strings.Join(shared[text], ", "), text)
			}
			golden(t, filepath.Join("testdata/plans", tc.name+".golden"), b.String())
		})
	}
	// No file is left over from a policy that is no longer there.
	found, err := filepath.Glob("testdata/plans/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		if !slices.Contains(files, filepath.Base(f)) {
			t.Errorf("%s belongs to no policy", f)
		}
	}
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (after a look, go test ./policy -update):\ngot\n%s\nwant\n%s", file, got, want)
	}
}

// What package seccomp tests of its groups holds for all that a plan denies.
func TestPlansDenyKnownGroups(t *testing.T) {
	for _, tc := range goldenPolicies {
		for _, abi := range abis() {
			plan, err := Build(&tc.Policy, lexical(&tc.Policy), base, Node{ABI: abi, Fallback: tc.Fallback})
			if err != nil {
				continue
			}
			for _, group := range plan.Deny {
				if !slices.Contains(seccomp.Groups, group) {
					t.Errorf("%s, ABI %d: %s is not in seccomp.Groups", tc.name, abi, group.Name)
				}
			}
		}
	}
}

// A plan never handles a right that its ABI does not have: the kernel would
// refuse the ruleset.
func TestPlansStayWithinTheABI(t *testing.T) {
	for _, tc := range goldenPolicies {
		for _, abi := range abis() {
			plan, err := Build(&tc.Policy, lexical(&tc.Policy), base, Node{ABI: abi, Fallback: tc.Fallback})
			if err != nil || plan.Landlock == nil {
				continue
			}
			rights, set := abi.Rights(), plan.Landlock
			if set.HandledFS&^rights.FS != 0 || set.HandledNet&^rights.Net != 0 || set.Scoped&^rights.Scope != 0 {
				t.Errorf("%s, ABI %d: handles more than the kernel has:\n%v", tc.name, abi, plan)
			}
			for _, rule := range set.Paths {
				if rule.Access&^set.HandledFS != 0 || rule.Access == 0 {
					t.Errorf("%s, ABI %d: rule %s %v is not within what is handled", tc.name, abi, rule.Path, rule.Access)
				}
			}
		}
	}
}

// Merging rules must not change what they admit.
func TestMergeAdmitsTheSame(t *testing.T) {
	const handled = readSet | writeSet
	rules := []landlock.PathRule{
		{Path: "/a/b/c", Access: landlock.ReadFile},
		{Path: "/a", Access: readSet},
		{Path: "/a/b", Access: landlock.WriteFile},
		{Path: "/ab", Access: readSet},
		{Path: "/a/b", Access: landlock.ReadDir, Optional: true},
		{Path: "/x", Access: landlock.IoctlDev | landlock.ReadFile},
	}
	granted := func(rules []landlock.PathRule, path string) (access landlock.AccessFS) {
		for _, rule := range rules {
			if landlock.Beneath(rule.Path, path) {
				access |= rule.Access & handled
			}
		}
		return access
	}
	merged := merge(slices.Clone(rules), handled)
	for _, path := range []string{"/", "/a", "/a/b", "/a/b/c", "/a/b/c/d", "/ab", "/ab/x", "/x", "/y"} {
		if got, want := granted(merged, path), granted(rules, path); got != want {
			t.Errorf("%s: %v after merging, want %v", path, got, want)
		}
	}
	if len(merged) != 4 {
		t.Errorf("got %d rules, want 4: %v", len(merged), merged)
	}
}

func TestRefusalsNameTheReason(t *testing.T) {
	for _, tc := range []struct {
		policy Policy
		node   Node
		want   []string
	}{
		{Policy{}, Node{Absent: landlock.ErrDisabled}, []string{"worktree", "lsm=", "enforce", "landlock.abi} >= 1"}},
		{Policy{SandboxProfile: "os_hardened"}, Node{Absent: landlock.ErrNotBuilt, Fallback: Off}, []string{"os_hardened", "5.13", "landlock.abi} >= 1"}},
	} {
		_, err := Build(&tc.policy, Roots{}, Base{}, tc.node)
		if err == nil {
			t.Fatalf("%+v was not refused", tc)
		}
		if !errors.Is(err, tc.node.Absent) {
			t.Errorf("%v does not wrap the cause", err)
		}
		for _, want := range tc.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%v does not say %q", err, want)
			}
		}
	}
}

// Of each right that a kernel can handle it is decided who gets it: a new row of
// package landlock fails here until it is.
func TestEveryRightIsDecided(t *testing.T) {
	all := landlock.NewestABI().Rights()
	if fs, net, scope := all.FS&^decided.FS, all.Net&^decided.Net, all.Scope&^decided.Scope; fs != 0 || net != 0 || scope != 0 {
		t.Errorf("nothing says who gets %v %v %v: grant them in Build, then add them to decided", fs, net, scope)
	}
	// A kernel that handles more than is decided denies no task what it has had.
	before := decided
	defer func() { decided = before }()
	decided.FS &^= landlock.ResolveUnix
	p := &Policy{}
	plan, err := Build(p, lexical(p), Base{}, Node{ABI: landlock.NewestABI()})
	if err != nil {
		t.Fatal(err)
	}
	if plan.Landlock.HandledFS&landlock.ResolveUnix != 0 {
		t.Error("a right of which nobody has decided is denied")
	}
}
