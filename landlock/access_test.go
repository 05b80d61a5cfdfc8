// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package landlock

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestSetsPrintTheirNames(t *testing.T) {
	for _, tc := range []struct {
		set  interface{ String() string }
		want string
	}{
		{AccessFS(0), "{}"},
		{ReadFile | ReadDir, "{read_file,read_dir}"},
		{Execute | Truncate | ResolveUnix, "{execute,truncate,resolve_unix}"},
		{ReadFile | 1<<40, "{read_file,0x10000000000}"},
		{BindTCP | ConnectTCP, "{bind_tcp,connect_tcp}"},
		{BindUDP | ConnectSendUDP, "{bind_udp,connect_send_udp}"},
		{LogNewExecOn | AllThreads | NoNewPrivs, "{log_new_exec_on,tsync,no_new_privs}"},
		{Flags(0), "{}"},
		{ScopeSignal, "{signal}"},
	} {
		if got := tc.set.String(); got != tc.want {
			t.Errorf("got %s, want %s", got, tc.want)
		}
	}
}

func TestEveryRightHasAName(t *testing.T) {
	all := NewestABI().Rights()
	for _, s := range []string{all.FS.String(), all.Net.String(), all.Scope.String(), all.Flags.String()} {
		if strings.Contains(s, "0x") {
			t.Errorf("a right without a name in %s", s)
		}
	}
}

func TestRulesetSurvivesJSON(t *testing.T) {
	want := Ruleset{
		HandledFS:  NewestABI().Rights().FS,
		HandledNet: ConnectTCP,
		Scoped:     ScopeSignal,
		Paths:      []PathRule{{Path: "/usr", Access: ReadFile | Execute, Optional: true}},
		Ports:      []PortRule{{Port: 443, Access: ConnectTCP}},
	}
	data, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got Ruleset
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	if got.HandledFS != want.HandledFS || got.HandledNet != want.HandledNet || got.Scoped != want.Scoped ||
		len(got.Paths) != 1 || got.Paths[0] != want.Paths[0] || len(got.Ports) != 1 || got.Ports[0] != want.Ports[0] {
		t.Errorf("got %+v, want %+v, from %s", got, want, data)
	}
}

func TestUnknownRightIsRefused(t *testing.T) {
	var a AccessFS
	if err := a.UnmarshalText([]byte("read_file,fly")); err == nil || !strings.Contains(err.Error(), `"fly"`) {
		t.Errorf("got %v, want an error that names fly", err)
	}
	if err := a.UnmarshalText([]byte("read_file,execute")); err != nil || a != ReadFile|Execute {
		t.Errorf("got %v, %v", a, err)
	}
}

func TestRightsOfABIs(t *testing.T) {
	const (
		tcp    = BindTCP | ConnectTCP
		udp    = BindUDP | ConnectSendUDP
		scopes = ScopeAbstractUnixSocket | ScopeSignal
	)
	for _, tc := range []struct {
		abi   ABI
		fs    int // number of rights
		net   AccessNet
		scope Scope
		flags int // number of flags
	}{
		{-1, 0, 0, 0, 0},
		{0, 0, 0, 0, 0},
		{1, 13, 0, 0, 0},
		{2, 14, 0, 0, 0},
		{3, 15, 0, 0, 0},
		{4, 15, tcp, 0, 0},
		{5, 16, tcp, 0, 0},
		{6, 16, tcp, scopes, 0},
		{7, 16, tcp, scopes, 3},
		{8, 16, tcp, scopes, 4},
		{9, 17, tcp, scopes, 4},
		{10, 17, tcp | udp, scopes, 4},
		{11, 17, tcp | udp, scopes, 5},
		{1000, 17, tcp | udp, scopes, 5},
	} {
		got := tc.abi.Rights()
		if got.FS != 1<<tc.fs-1 || got.Net != tc.net || got.Scope != tc.scope || got.Flags != 1<<tc.flags-1 {
			t.Errorf("ABI %d: got %v %v %v %v, want %d file system rights, %v, %v, %d flags",
				tc.abi, got.FS, got.Net, got.Scope, got.Flags, tc.fs, tc.net, tc.scope, tc.flags)
		}
	}
}
