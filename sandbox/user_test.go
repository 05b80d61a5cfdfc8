// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package sandbox

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/burin-labs/nomad-driver-harn/executor"
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

// fakeDirectory makes getent(1) a script, for a host whose users and groups are not in
// files alone.
func fakeDirectory(t *testing.T, script string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"getent": "#!/bin/sh\n" + script, "nsswitch.conf": "passwd:\tfiles sss\ngroup: files [NOTFOUND=continue] sss # of the site\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+":/usr/bin:/bin")
	sources, patience, known := nameSources, directoryPatience, inDirectory.uids
	nameSources, inDirectory.uids = dir+"/nsswitch.conf", map[string]answer{}
	t.Cleanup(func() { nameSources, directoryPatience, inDirectory.uids = sources, patience, known })
}

// Who is denied by a name is denied by every name of the UID, and nobody is a user or in a
// group of the host by the name of a dynamic user.
func TestDeniedByAnotherName(t *testing.T) {
	fakeDirectory(t, `case "$1 $2" in
"passwd alice" | "passwd alice2" | "passwd 150000") echo "${2#150000}:x:150000:100000::/home/alice:/bin/sh" | sed s/^:/alice:/ ;;
"passwd bob") echo "bob:x:150001:100000::/home/bob:/bin/sh" ;;
"group 150002") echo "finance:x:150002:" ;;
initgroups*) echo "$2 100000" ;;
*) exit 2 ;;
esac`)
	for _, tc := range []struct {
		user   string
		denied []string
		errors []string
	}{
		{"alice", []string{"alice"}, []string{"denied_users"}},
		{"alice2", []string{"alice"}, []string{"denied_users"}},
		{"nomad-150000", []string{"alice"}, []string{`"nomad-150000"`, "alice"}},
		{"nomad-150000", nil, []string{`user "alice"`, "no dynamic user"}},
		{"nomad-150002", nil, []string{`group "finance"`, "no dynamic user"}},
		{"bob", []string{"alice", "no-such-user"}, nil},
		{"nomad-150003", []string{"alice", "no-such-user"}, nil},
	} {
		d, err := parseDeniedUsers(tc.denied)
		if err != nil {
			t.Fatal(err)
		}
		_, err = lookupUser(tc.user, "/", &Settings{deniedUsers: d})
		if tc.errors != nil {
			wantError(t, tc.user, err, tc.errors...)
		} else if err != nil {
			t.Errorf("%s, denied %q: %v", tc.user, tc.denied, err)
		}
	}
	// A name stays that of its UID when the directory does not know it any more.
	known := inDirectory.uids["alice"]
	known.at = time.Time{}
	inDirectory.uids["alice"] = known
	if err := os.WriteFile(filepath.Dir(nameSources)+"/getent", []byte("#!/bin/sh\nexit 2\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	d := deniedUsers{names: []string{"alice"}}
	if denied, err := d.has(identity{Name: "alice2", User: executor.User{UID: 150000}}); !denied || err != nil {
		t.Errorf("of a directory that is gone: %v, %v", denied, err)
	}
}

// A name that nobody has is told, and none of which that is not known.
func TestUnknownDeniedUsers(t *testing.T) {
	list := []string{"root", "rooot", "nobody", "1000-2000", "17", "Games"}
	unknown := func() []string {
		d, err := parseDeniedUsers(list)
		if err != nil {
			t.Fatal(err)
		}
		return (&Settings{deniedUsers: d}).UnknownDeniedUsers()
	}
	if got, want := unknown(), []string{"rooot", "Games"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	fakeDirectory(t, "exec sleep 1000")
	directoryPatience = 50 * time.Millisecond
	if got := unknown(); len(got) != 0 {
		t.Errorf("%q, though the host's directory of users does not answer", got)
	}
}

// A directory service that does not answer holds no start up for long: whoever needs an
// answer is refused, others start.
func TestDirectoryThatDoesNotAnswer(t *testing.T) {
	fakeDirectory(t, "exec sleep 1000")
	directoryPatience = 50 * time.Millisecond
	for _, tc := range []struct {
		user    string
		denied  []string
		refused bool
	}{
		{"of-the-directory", nil, true},
		{"nobody", nil, false},
		{"nobody", []string{"of-the-directory"}, true},
		{"nobody", []string{"root", "1"}, false}, // of the files
		{"nomad-150000", nil, false},
		{"nomad-150000", []string{"root"}, true},
	} {
		_, err := lookupUser(tc.user, "/", &Settings{deniedUsers: func() deniedUsers { d, _ := parseDeniedUsers(tc.denied); return d }()})
		if tc.refused {
			wantError(t, tc.user, err, "user: ", "does not answer", "getent")
		} else if err != nil {
			t.Errorf("%s, denied %q: %v", tc.user, tc.denied, err)
		}
	}
}

func TestHasDirectory(t *testing.T) {
	sources := nameSources
	t.Cleanup(func() { nameSources = sources })
	nameSources = filepath.Join(t.TempDir(), "nsswitch.conf")
	for text, want := range map[string]bool{
		"": false, "passwd: files systemd\ngroup: files ldap\n": false, "#passwd: files sss\n": false, "passwd: files [SUCCESS=return] systemd # sss\n": false,
		"passwd: files sss": true, " passwd :files winbind\n": true, "passwd: db files\n": true, "passwd: compat\n": true,
	} {
		if err := os.WriteFile(nameSources, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := hasDirectory(passwdFile); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
	nameSources += ".none"
	if hasDirectory(passwdFile) {
		t.Error("without the file")
	}
}
