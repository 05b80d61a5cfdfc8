// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"reflect"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/landlock"
	"github.com/burin-labs/nomad-driver-harn/seccomp"
)

func extended(e Extensions) Policy { return Policy{Extensions: e} }

func TestValidateExtensions(t *testing.T) {
	withLevel := func(level string, e Extensions) Policy { return Policy{SideEffectLevel: level, Extensions: e} }
	for _, tc := range []struct {
		name   string
		policy Policy
		want   []string
	}{
		{"all", withLevel("network", Extensions{
			TCPConnect: []int{1, 65535}, TCPBind: []int{0, 8080}, UnixSocketRoots: []string{"/run/db"}, LocalIPC: new(true),
			Devices: []string{"/dev/kvm"}, MinLandlockABI: 9,
		}), nil},
		{"ports without a level", extended(Extensions{TCPConnect: []int{443}}), nil},
		{"port 0", extended(Extensions{TCPConnect: []int{443, 0}}), []string{"tcp_connect[1]: 0 is no port", "1 to 65535"}},
		{"high port", extended(Extensions{TCPBind: []int{65536}}), []string{"tcp_bind[0]: 65536", "0 to 65535"}},
		{"negative port", extended(Extensions{TCPBind: []int{-1}}), []string{"tcp_bind[0]: -1"}},
		{"ports below network", withLevel("process_exec", Extensions{TCPConnect: []int{443}}), []string{`tcp_connect: the side_effect_level "process_exec" has no network`, `"network"`}},
		{"no ports below network", withLevel("none", Extensions{TCPBind: []int{}}), []string{"tcp_bind", `"none"`}},
		{"sockets of others without sockets", withLevel("none", Extensions{UnixSocketRoots: []string{"/run/db"}, LocalIPC: new(false)}), []string{"unix_socket_roots", "local_ipc = false", `"none"`}},
		{"the same with a network", withLevel("network", Extensions{UnixSocketRoots: []string{"/run/db"}, LocalIPC: new(false)}), nil},
		{"no sockets", withLevel("none", Extensions{LocalIPC: new(false)}), nil},
		{"socket root", extended(Extensions{UnixSocketRoots: []string{""}}), []string{"unix_socket_roots[0]", "empty path"}},
		{"device elsewhere", extended(Extensions{Devices: []string{"/etc/passwd"}}), []string{`devices[0]: "/etc/passwd"`, "/dev"}},
		{"device by ..", extended(Extensions{Devices: []string{"/dev/../etc/passwd"}}), []string{"devices[0]"}},
		{"ABI", extended(Extensions{MinLandlockABI: -1}), []string{"min_landlock_abi: -1"}},
	} {
		checkError(t, tc.name, tc.policy.Validate(), tc.want)
	}
}

func TestIntersectExtensions(t *testing.T) {
	ports := func(connect, bind []int) Extensions { return Extensions{TCPConnect: connect, TCPBind: bind} }
	for _, tc := range []struct {
		name             string
		ceiling, request Extensions
		want             Extensions
		errors           []string
	}{
		{"ports of the request alone", ports(nil, nil), ports([]int{443}, nil), ports([]int{443}, nil), nil},
		{"ports of the ceiling alone", ports([]int{443}, nil), ports(nil, nil), ports([]int{443}, []int{}), nil},
		{"ports within", ports([]int{80, 443}, []int{8080}), ports([]int{443}, nil), ports([]int{443}, nil), nil},
		{"port beyond", ports([]int{443}, nil), ports([]int{22, 443}, nil), Extensions{}, []string{"tcp_connect: [22] exceed the operator's ceiling ([443])"}},
		{"other direction", ports([]int{443}, nil), ports(nil, []int{443}), Extensions{}, []string{"tcp_bind: [443] exceed"}},
		{"ABI of the ceiling", Extensions{MinLandlockABI: 6}, Extensions{MinLandlockABI: 4}, Extensions{MinLandlockABI: 6}, nil},
		{"ABI of the request", Extensions{}, Extensions{MinLandlockABI: 4}, Extensions{MinLandlockABI: 4}, nil},
		{"socket root within", Extensions{UnixSocketRoots: []string{"/run"}}, Extensions{UnixSocketRoots: []string{"/run/db"}}, Extensions{UnixSocketRoots: []string{"/run/db"}}, nil},
		{"socket root beyond", Extensions{UnixSocketRoots: []string{"/run/db"}}, Extensions{UnixSocketRoots: []string{"/run"}}, Extensions{}, []string{`unix_socket_roots: "/run" exceed`, "/run/db"}},
		{"local_ipc of the ceiling", Extensions{LocalIPC: new(false)}, Extensions{}, Extensions{LocalIPC: new(false)}, nil},
		{"local_ipc of the request", Extensions{}, Extensions{LocalIPC: new(false)}, Extensions{LocalIPC: new(false)}, nil},
		{"local_ipc of both", Extensions{LocalIPC: new(false)}, Extensions{LocalIPC: new(false)}, Extensions{LocalIPC: new(false)}, nil},
		{"local_ipc of neither", Extensions{}, Extensions{}, Extensions{}, nil},
		{"local_ipc beyond", Extensions{LocalIPC: new(false)}, Extensions{LocalIPC: new(true)}, Extensions{}, []string{"local_ipc: true exceeds the operator's ceiling (false)"}},
		{"a ceiling that limits nothing", Extensions{LocalIPC: new(true)}, Extensions{LocalIPC: new(false)}, Extensions{LocalIPC: new(false)}, nil},
	} {
		ceiling, request := extended(tc.ceiling), extended(tc.request)
		got, err := Intersect(&ceiling, &request, nil)
		checkError(t, tc.name, err, tc.errors)
		if err == nil && !reflect.DeepEqual(got.Extensions, tc.want) {
			t.Errorf("%s: got %+v, want %+v", tc.name, got.Extensions, tc.want)
		}
	}
	// A request without network has no ports to be limited.
	ceiling, request := extended(ports([]int{443}, nil)), Policy{SideEffectLevel: "none"}
	if got, err := Intersect(&ceiling, &request, nil); err != nil || got.PortsLimited() || got.Validate() != nil {
		t.Errorf("got %+v, %v", got, err)
	}
	// One without network that names sockets is told that the ceiling leaves it none.
	ceiling, request = extended(Extensions{LocalIPC: new(false)}), Policy{SideEffectLevel: "none", Extensions: Extensions{UnixSocketRoots: []string{"/run/db"}}}
	_, err := Intersect(&ceiling, &request, nil)
	checkError(t, "UNIX sockets without sockets", err, []string{"unix_socket_roots", `"/run/db"`, "ceiling (local_ipc = false)", `"network"`})
	// What comes of an intersection shares nothing with the ceiling.
	request = Policy{}
	got, err := Intersect(&ceiling, &request, nil)
	if err != nil || got.LocalIPC == ceiling.LocalIPC {
		t.Errorf("got %+v, %v", got, err)
	}
	// One that lists ports is told that the ceiling leaves it no network.
	ceiling, request = Policy{SideEffectLevel: "process_exec"}, Policy{Extensions: ports([]int{443}, nil)}
	_, err = Intersect(&ceiling, &request, nil)
	checkError(t, "ports without network", err, []string{"tcp_connect", `"network"`, "ceiling", `"process_exec"`})
}

// What a node cannot enforce is refused, whatever the fallback, and admitted on
// the first node that can.
func TestExtensionsNeedAnABI(t *testing.T) {
	for _, tc := range []struct {
		e     Extensions
		least landlock.ABI
		field string
	}{
		{Extensions{TCPConnect: []int{443}}, 4, "tcp_connect"},
		{Extensions{TCPBind: []int{}}, 4, "tcp_bind"},
		{Extensions{UnixSocketRoots: []string{"/run/db"}}, 9, "unix_socket_roots"},
		{Extensions{MinLandlockABI: 6}, 6, "min_landlock_abi = 6"},
	} {
		p := extended(tc.e)
		_, err := Build(&p, lexical(&p), base, Node{ABI: tc.least - 1, Fallback: Off})
		checkError(t, tc.field, err, []string{tc.field + " needs Landlock ABI", "this node has", "${attr.driver.harn.landlock.abi} >= "})
		if _, err := Build(&p, lexical(&p), base, Node{ABI: tc.least}); err != nil {
			t.Errorf("%s at ABI %d: %v", tc.field, tc.least, err)
		}
		p.SandboxProfile = "unrestricted"
		if _, err := Build(&p, lexical(&p), base, Node{ABI: 99}); (err == nil) != (tc.e.MinLandlockABI > 0) {
			t.Errorf("%s, unrestricted: %v", tc.field, err)
		}
	}
}

func TestSocketGroups(t *testing.T) {
	plain, before := Node{ABI: 9}, Node{ABI: 8}
	for _, tc := range []struct {
		level string
		e     Extensions
		node  Node
		want  []*seccomp.Group
	}{
		{"", Extensions{}, plain, []*seccomp.Group{seccomp.Families, seccomp.RoutesOnly, seccomp.NoRaw}},
		{"network", Extensions{}, Node{NetRaw: true}, []*seccomp.Group{seccomp.Families, seccomp.RoutesOnly}},
		{"network", Extensions{}, Node{NetAdmin: true}, []*seccomp.Group{seccomp.Families, seccomp.NoRaw}},
		{"network", Extensions{LocalIPC: new(false)}, plain, []*seccomp.Group{seccomp.Families, seccomp.RoutesOnly, seccomp.NoRaw}},
		{"none", Extensions{}, plain, []*seccomp.Group{seccomp.UnixOnly}},
		{"none", Extensions{}, before, []*seccomp.Group{seccomp.LocalIPC}},
		{"none", Extensions{}, Node{}, []*seccomp.Group{seccomp.LocalIPC}},
		{"process_exec", Extensions{LocalIPC: new(true)}, plain, []*seccomp.Group{seccomp.UnixOnly}},
		{"process_exec", Extensions{LocalIPC: new(true)}, before, []*seccomp.Group{seccomp.LocalIPC}},
		{"process_exec", Extensions{LocalIPC: new(false)}, plain, []*seccomp.Group{seccomp.Network}},
		{"none", Extensions{LocalIPC: new(false)}, Node{NetRaw: true, NetAdmin: true}, []*seccomp.Group{seccomp.Network}},
		{"none", Extensions{UnixSocketRoots: []string{"/run/db"}}, plain, []*seccomp.Group{seccomp.UnixOnly}},
		{"network", Extensions{TCPConnect: []int{443}}, plain, []*seccomp.Group{seccomp.TCPOnly, seccomp.NoListen}},
		{"network", Extensions{TCPBind: []int{8080}}, plain, []*seccomp.Group{seccomp.TCPOnly}},
	} {
		p := Policy{SideEffectLevel: tc.level, Extensions: tc.e}
		if got := p.socketGroups(tc.node); !slices.Equal(got, tc.want) {
			t.Errorf("%q %+v %+v: %v, want %v", tc.level, tc.e, tc.node, got, tc.want)
		}
	}
}

// Whatever a policy says and a node has: a task under a filter has no io_uring, no
// keyring and no contexts of asynchronous I/O.
func TestEveryFilterHasWhatIsAlwaysDenied(t *testing.T) {
	for _, tc := range goldenPolicies {
		for _, abi := range abis() {
			plan, err := Build(&tc.Policy, lexical(&tc.Policy), base, Node{ABI: abi, Fallback: tc.Fallback})
			if err != nil || !plan.Confined() {
				continue
			}
			for call, want := range map[string]unix.Errno{
				"io_uring_setup": unix.ENOSYS, "io_uring_enter": unix.ENOSYS, "io_uring_register": unix.ENOSYS, "io_setup": unix.ENOSYS,
				"add_key": 0, "request_key": 0, "keyctl": 0,
			} {
				denied := func(r seccomp.Rule) bool { return r.Syscall == call && r.Errno == want && len(r.Admit) == 0 }
				if !slices.ContainsFunc(plan.Filter().Rules, denied) {
					t.Errorf("%s, ABI %d: %s is not denied", tc.name, abi, call)
				}
			}
		}
	}
}

// Without a network, a task may connect to what others listen at only in places
// that are its own, or that unix_socket_roots names.
func TestSocketsOfOthersInTheWorkspace(t *testing.T) {
	for _, tc := range []struct {
		name   string
		policy Policy
		want   bool
	}{
		{"no network", Policy{SideEffectLevel: "process_exec"}, false},
		{"no network, a root of its own", Policy{SideEffectLevel: "process_exec", WorkspaceRoots: []string{"/srv/work"}}, false},
		{"sockets are named", Policy{SideEffectLevel: "process_exec", Extensions: Extensions{UnixSocketRoots: []string{"/run/db"}}}, true},
		{"network", Policy{}, true},
	} {
		plan, err := Build(&tc.policy, lexical(&tc.policy), base, Node{ABI: 9})
		if err != nil {
			t.Fatal(err)
		}
		rights := func(path string) (access landlock.AccessFS) {
			for _, rule := range plan.Landlock.Paths {
				if landlock.Beneath(rule.Path, path) {
					access |= rule.Access
				}
			}
			return access
		}
		workspace := lexical(&tc.policy).Workspace[0]
		if got := rights(workspace+"/socket")&landlock.ResolveUnix != 0; got != tc.want {
			t.Errorf("%s: connecting in %s: %v, want %v", tc.name, workspace, got, tc.want)
		}
		for _, scratch := range base.Servers {
			if rights(scratch+"/socket")&landlock.ResolveUnix == 0 {
				t.Errorf("%s: no connecting in %s", tc.name, scratch)
			}
		}
		if plan.Landlock.HandledFS&landlock.ResolveUnix == 0 || plan.Landlock.Scoped&landlock.ScopeAbstractUnixSocket == 0 {
			t.Errorf("%s: sockets of others are not mediated: %v", tc.name, plan)
		}
	}
}
