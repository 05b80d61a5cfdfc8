// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package sandbox

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/executor"
	"github.com/burin-labs/nomad-driver-harn/internal/kerneltest"
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

// What an earlier start has put into the place of a directory of the task's is neither
// opened nor followed, nor is a link in it.
func TestClosedFileOfAPreparedDirectory(t *testing.T) {
	kerneltest.Root(t)
	who := &account{anyone: true}
	base := t.TempDir()
	dir, fifo, link, within := base+"/dir", base+"/fifo", base+"/link", base+"/within"
	for _, made := range []error{
		os.Mkdir(dir, 0o755), os.WriteFile(dir+"/key", nil, 0o600), unix.Mkfifo(fifo, 0o777), os.Symlink(dir, link),
		os.Mkdir(within, 0o755), os.Symlink(dir+"/key", within+"/key"), unix.Mkfifo(within+"/fifo", 0o600),
	} {
		if made != nil {
			t.Fatal(made)
		}
	}
	for path, want := range map[string]string{dir: "key", fifo: "", link: "", within: ""} {
		if name, owner := who.closedFile(path); name != want || want != "" && owner != `"root" (user 0), mode 0600` {
			t.Errorf("%s: %q, %q, expected %q", path, name, owner, want)
		}
	}
}
