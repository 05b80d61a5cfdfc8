// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package sandbox

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/executor"
)

func TestModes(t *testing.T) {
	for _, tc := range []struct {
		task   Request
		config Settings
		want   modes
		errors []string
	}{
		{Request{}, Settings{}, modes{}, nil},
		{Request{PIDMode: "private", IPCMode: "private"}, Settings{}, modes{}, nil},
		{Request{PIDMode: "host"}, Settings{AllowHostPID: true}, modes{hostPID: true}, nil},
		{Request{IPCMode: "host"}, Settings{AllowHostIPC: true}, modes{hostIPC: true}, nil},
		{Request{PIDMode: "host"}, Settings{AllowHostIPC: true}, modes{}, []string{"pid_mode", "allow_host_pid"}},
		{Request{IPCMode: "host"}, Settings{AllowHostPID: true}, modes{}, []string{"ipc_mode", "allow_host_ipc"}},
	} {
		got, err := decideModes(&tc.task, &tc.config)
		if tc.errors != nil {
			wantError(t, "modes", err, tc.errors...)
		} else if err != nil || got != tc.want {
			t.Errorf("%+v: %+v, %v", tc, got, err)
		}
	}
}

// Where others' processes are in sight, a session may signal what its user may if
// that is its task alone.
func TestSessionsSignal(t *testing.T) {
	dynamic := identity{executor.User{UID: 80_001, GID: 80_001}, "nomad-80001", true}
	for _, tc := range []struct {
		name         string
		hostPID      bool
		user         identity
		capabilities []int
		want         bool
	}{
		{"private", false, identity{Name: "nobody"}, nil, true},
		{"private root", false, identity{Name: "root"}, []int{unix.CAP_KILL}, true},
		{"host, dynamic user", true, dynamic, nil, true},
		{"host, with CAP_KILL", true, dynamic, []int{unix.CAP_KILL}, false},
		{"host, a user of others", true, identity{executor.User{UID: 65534}, "nobody", false}, nil, false},
		{"host, root", true, identity{Name: "root"}, nil, false},
		{"host, so called", true, identity{executor.User{UID: 1000}, "nomad-x", false}, nil, false},
	} {
		s := &Sandbox{modes: modes{hostPID: tc.hostPID}, capabilities: tc.capabilities}
		if got := s.sessionsSignal(tc.user); got != tc.want {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
	}
}
