// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package sandbox

import (
	"strings"
	"testing"

	"github.com/burin-labs/nomad-driver-harn/executor"
)

func TestAccountFiles(t *testing.T) {
	host := []byte("root:x:0:0:root:/root:/bin/bash\nalice:x:1000:1000:Alice:/home/alice:/bin/zsh\n")
	for _, tc := range []struct {
		name     string
		uid      uint32
		first    string
		withheld string
	}{
		{"nomad-80001", 80001, "nomad-80001:x:80001:80001::/t/local:/bin/sh", ""},
		{"alice", 1000, "alice:x:1000:1000:Alice:/t/local:/bin/zsh", "/home/alice"}, // HOME of the task, the rest of the host
		{"alice", 80001, "alice:x:80001:80001::/t/local:/bin/sh", "/home/alice"},    // another alice
	} {
		a := &account{identity: identity{Name: tc.name, User: executor.User{UID: tc.uid, GID: tc.uid}}}
		got := a.passwd(host, "/t/local")
		first, rest, _ := strings.Cut(got, "\n")
		if first != tc.first || !strings.HasPrefix(rest, "root:x:0:0:") || tc.withheld != "" && strings.Contains(got, tc.withheld) {
			t.Errorf("%s: %q", tc.name, got)
		}
	}
	a := &account{identity: identity{Name: "staff", User: executor.User{UID: 5, GID: 6}}}
	if got := a.group([]byte("staff:x:50:\n")); got != "gid-staff:x:6:\nstaff:x:50:\nharn-session:x:4294967294:\n" {
		t.Errorf("a name that is taken: %q", got)
	}
	for host, want := range map[string]string{
		"games:x:6:\n":                     "games:x:6:\nharn-session:x:4294967294:\n",
		"games:x:6:\nlast:x:4294967294:\n": "games:x:6:\nlast:x:4294967294:\n",
		"games:x:6:\nharn-session:x:7:\n":  "games:x:6:\nharn-session:x:7:\ngid-harn-session:x:4294967294:\n",
	} {
		if got := a.group([]byte(host)); got != want {
			t.Errorf("groups that the host names: %q, want %q", got, want)
		}
	}
	for _, text := range []string{"", "a:b", "a\nroot2:x:0:0:::", "a\x00", "a\u0085b"} {
		if isField(text) {
			t.Errorf("%q can be a field", text)
		}
	}
	a.Name = "x\nevil:x:0:0:"
	if files := a.files("/tmp"); len(files) != 0 {
		t.Errorf("a name with a line: %q", files)
	}
}
