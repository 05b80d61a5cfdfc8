// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package sandbox

import (
	"os"
	"testing"

	"github.com/burin-labs/nomad-driver-harn/internal/kerneltest"
)

func TestLookupUser(t *testing.T) {
	kerneltest.Root(t)
	dir := t.TempDir()
	for _, tc := range []struct {
		name      string
		owner     int // of the task directory
		allowRoot bool
		uid       uint32
		errors    []string
	}{
		{name: "nobody", uid: 65534},
		{name: "", uid: 65534},
		{name: "", owner: 80123, uid: 80123}, // Nomad forgot the dynamic user
		{name: "", owner: 1000, uid: 65534},
		{name: "nomad-80001", owner: 1000, uid: 80001},
		{name: "root", errors: []string{`user: "root"`, "allow_root"}},
		{name: "root", allowRoot: true, uid: 0},
		{name: "no-such-user", errors: []string{`user: "no-such-user"`, "no such user", "create"}},
		{name: "nomad-5", errors: []string{`"nomad-5"`}},
		{name: "nomad-x", errors: []string{`"nomad-x"`}},
		{name: "nomad-99999999999", errors: []string{"nomad-99999999999"}},
		// -1 is no user, in whatever form.
		{name: "nomad-4294967295", errors: []string{"nomad-4294967295"}},
		{name: "4294967295", errors: []string{`"4294967295"`, "decimal", "0 to 4294967294"}},
		{name: "-1", errors: []string{`"-1"`}},
		{name: "nomad-2147483648", errors: []string{"nomad-2147483648"}}, // Nomad parses no such number
		{name: "nomad-080001", errors: []string{"nomad-080001"}},
		{name: "nomad-+80001", errors: []string{"nomad-+80001"}},
		// A number is the user with that UID, and root in no disguise.
		{name: "65534", uid: 65534},
		{name: "0", errors: []string{`"0"`, "allow_root"}},
		{name: "00", allowRoot: true, errors: []string{`"00"`, "decimal"}},
		{name: "0x0", allowRoot: true, errors: []string{`"0x0"`, "decimal"}},
		{name: "4294967296", allowRoot: true, errors: []string{`"4294967296"`, "decimal"}},
		{name: "18446744073709551616", allowRoot: true, errors: []string{`"18446744073709551616"`, "decimal"}},
		{name: "+0", allowRoot: true, errors: []string{`"+0"`}},
		{name: " 0", allowRoot: true, errors: []string{`" 0"`, "space"}},
		{name: "0\n", allowRoot: true, errors: []string{`"0\n"`}},
		{name: "root ", allowRoot: true, errors: []string{`"root "`}},
		{name: "root\x00x", allowRoot: true, errors: []string{`"root\x00x"`}},
		{name: "nobody:nogroup", errors: []string{`"nobody:nogroup"`, "groups"}},
		{name: "65534:0", errors: []string{`"65534:0"`, "groups"}},
		{name: "../root", errors: []string{`"../root"`}},
		{name: "1and1", errors: []string{`"1and1"`, "no such user"}}, // a name
	} {
		if err := os.Chown(dir, tc.owner, tc.owner); err != nil {
			t.Fatal(err)
		}
		got, err := lookupUser(tc.name, dir, &Settings{AllowRoot: tc.allowRoot})
		if tc.errors != nil {
			wantError(t, tc.name, err, tc.errors...)
		} else if err != nil || got.UID != tc.uid || got.GID != tc.uid {
			t.Errorf("%+v: %+v, %v", tc, got, err)
		}
	}
}

func TestUserGroupsAndDenial(t *testing.T) {
	// games and its groups are in every Debian's files, and getent knows them, too.
	files, err := lookupFiles("games")
	if err != nil {
		t.Skip("this system has no user games")
	}
	if getent, err := lookupGetent("games"); err != nil || getent.UID != files.UID || getent.GID != files.GID || getent.Name != "games" {
		t.Errorf("getent: %+v, %v, files: %+v", getent, err, files)
	}
	for _, name := range []string{"no-such-user", "-x", ""} {
		if id, err := lookupGetent(name); err == nil {
			t.Errorf("%q: %+v", name, id)
		}
	}
	for _, tc := range []struct {
		list   []string
		denied bool
	}{
		{nil, false},
		{[]string{"games"}, true},
		{[]string{"www-data", "nobody"}, false},
		{[]string{"5"}, true},
		{[]string{"1-100"}, true},
		{[]string{"6-100", "0-4"}, false},
	} {
		d, err := parseDeniedUsers(tc.list)
		if err != nil {
			t.Fatal(err)
		}
		_, err = lookupUser("games", "/", &Settings{deniedUsers: d})
		if (err != nil) != tc.denied {
			t.Errorf("%q: %v, want denied %v", tc.list, err, tc.denied)
		}
	}
	for _, list := range [][]string{{""}, {"5-"}, {"9-1"}, {"1-x"}} {
		if d, err := parseDeniedUsers(list); err == nil {
			t.Errorf("%q: %+v", list, d)
		}
	}
}
