// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package sandbox

import (
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/policy"
	"github.com/burin-labs/nomad-driver-harn/seccomp"
)

func TestCapabilities(t *testing.T) {
	if len(capabilityNames) != unix.CAP_LAST_CAP+1 || capabilityNames[unix.CAP_SYS_ADMIN] != "sys_admin" || capabilityNames[netBindService] != "net_bind_service" {
		t.Error("the table is not the kernel's")
	}
	bind, raw := []string{"NET_BIND_SERVICE"}, []string{"cap_net_raw"}
	for _, tc := range []struct {
		add, drop, allow []string
		network          bool
		want             []int
		errors           []string
	}{
		{nil, nil, nil, true, nil, nil},
		{nil, nil, bind, true, []int{unix.CAP_NET_BIND_SERVICE}, nil},
		{nil, nil, bind, false, nil, nil},
		{nil, bind, bind, true, nil, nil},
		{nil, []string{"ALL"}, bind, true, nil, nil},
		{raw, nil, []string{"net_raw", "net_bind_service"}, true, []int{unix.CAP_NET_BIND_SERVICE, unix.CAP_NET_RAW}, nil},
		{raw, raw, raw, true, []int{}, nil},
		{[]string{"all"}, []string{"sys_admin"}, []string{"sys_admin", "kill"}, false, nil, []string{"cap_add", "chown", "not allowed", "kill, sys_admin"}},
		{raw, nil, nil, true, nil, []string{"cap_add", "net_raw", "not allowed", "allow_caps: none"}},
		{[]string{"fly"}, nil, nil, true, nil, []string{"cap_add", `"fly"`}},
		{nil, []string{"fly"}, nil, true, nil, []string{"cap_drop", `"fly"`}},
	} {
		allowed, err := parseCapabilities(tc.allow)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decideCapabilities(&Request{CapAdd: tc.add, CapDrop: tc.drop}, allowed, tc.network)
		if tc.errors != nil {
			wantError(t, "capabilities", err, tc.errors...)
		} else if err != nil || !slices.Equal(got, tc.want) {
			t.Errorf("%+v: %v, %v", tc, got, err)
		}
	}
}

func TestCapabilitiesOfOSHardened(t *testing.T) {
	allowed := []int{netBindService, 0}
	for profile, want := range map[policy.Profile][]int{policy.OSHardened: {}, policy.Worktree: {netBindService}} {
		p := &policy.Policy{SandboxProfile: profile.String()}
		got, err := profileCapabilities(&Request{}, allowed, p)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%v: %v, %v, want %v", profile, got, err, want)
		}
		_, err = profileCapabilities(&Request{CapAdd: []string{"chown"}}, allowed, p)
		if profile == policy.OSHardened {
			wantError(t, "cap_add", err, "cap_add", "os_hardened", "worktree")
		} else if err != nil {
			t.Errorf("%v: %v", profile, err)
		}
	}
}

// Sockets that the kernel keeps for a capability are kept by the filter as well, and
// left to a task that has it.
func TestCapabilitiesAdmitSockets(t *testing.T) {
	settings := &Settings{StateDir: DefaultStateDir, AllowCaps: []string{"net_raw", "net_admin"}}
	if err := settings.Validate(); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		add        []string
		raw, admin bool
	}{
		{nil, false, false},
		{[]string{"net_raw"}, true, false},
		{[]string{"net_admin"}, false, true},
		{[]string{"net_raw", "net_admin"}, true, true},
	} {
		e, err := Explain(&Request{Command: "/bin/true", CapAdd: tc.add, Policy: &policy.Policy{}},
			&Placement{Settings: settings, Node: policy.Node{ABI: 7}, TaskDir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		if raw := !slices.Contains(e.Plan.Deny, seccomp.NoRaw); raw != tc.raw {
			t.Errorf("cap_add %v: raw sockets %v, want %v", tc.add, raw, tc.raw)
		}
		if admin := !slices.Contains(e.Plan.Deny, seccomp.RoutesOnly); admin != tc.admin {
			t.Errorf("cap_add %v: all of netlink %v, want %v", tc.add, admin, tc.admin)
		}
	}
}
