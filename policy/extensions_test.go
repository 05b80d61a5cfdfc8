// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"reflect"
	"slices"
	"testing"

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
			TCPConnect: []int{1, 65535}, TCPBind: []int{0, 8080}, UnixSocketRoots: []string{"/run/db"}, LocalIPC: true,
			Devices: []string{"/dev/kvm"}, MinLandlockABI: 9,
		}), nil},
		{"ports without a level", extended(Extensions{TCPConnect: []int{443}}), nil},
		{"port 0", extended(Extensions{TCPConnect: []int{443, 0}}), []string{"tcp_connect[1]: 0 is no port", "1 to 65535"}},
		{"high port", extended(Extensions{TCPBind: []int{65536}}), []string{"tcp_bind[0]: 65536", "0 to 65535"}},
		{"negative port", extended(Extensions{TCPBind: []int{-1}}), []string{"tcp_bind[0]: -1"}},
		{"ports below network", withLevel("process_exec", Extensions{TCPConnect: []int{443}}), []string{`tcp_connect: the side_effect_level "process_exec" has no network`, `"network"`}},
		{"no ports below network", withLevel("none", Extensions{TCPBind: []int{}}), []string{"tcp_bind", `"none"`}},
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
	// One that lists ports is told that the ceiling leaves it no network.
	ceiling, request = Policy{SideEffectLevel: "process_exec"}, Policy{Extensions: ports([]int{443}, nil)}
	_, err := Intersect(&ceiling, &request, nil)
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
		_, err := Build(&p, lexical(&p), world, Node{ABI: tc.least - 1, Fallback: Off})
		checkError(t, tc.field, err, []string{tc.field + " needs Landlock ABI", "this node has", "${attr.driver.harn.landlock.abi} >= "})
		if _, err := Build(&p, lexical(&p), world, Node{ABI: tc.least}); err != nil {
			t.Errorf("%s at ABI %d: %v", tc.field, tc.least, err)
		}
		p.SandboxProfile = "unrestricted"
		if _, err := Build(&p, lexical(&p), world, Node{ABI: 99}); (err == nil) != (tc.e.MinLandlockABI > 0) {
			t.Errorf("%s, unrestricted: %v", tc.field, err)
		}
	}
}

func TestSocketGroups(t *testing.T) {
	for _, tc := range []struct {
		level string
		e     Extensions
		want  []*seccomp.Group
	}{
		{"", Extensions{}, []*seccomp.Group{seccomp.Families}},
		{"none", Extensions{}, []*seccomp.Group{seccomp.Network}},
		{"none", Extensions{LocalIPC: true}, []*seccomp.Group{seccomp.LocalIPC}},
		{"none", Extensions{LocalIPC: true, UnixSocketRoots: []string{"/run/db"}}, []*seccomp.Group{seccomp.UnixOnly}},
		{"network", Extensions{TCPConnect: []int{443}}, []*seccomp.Group{seccomp.TCPOnly, seccomp.NoListen}},
		{"network", Extensions{TCPBind: []int{8080}}, []*seccomp.Group{seccomp.TCPOnly}},
	} {
		p := Policy{SideEffectLevel: tc.level, Extensions: tc.e}
		if got := p.socketGroups(); !slices.Equal(got, tc.want) {
			t.Errorf("%q %+v: %v, want %v", tc.level, tc.e, got, tc.want)
		}
	}
}
