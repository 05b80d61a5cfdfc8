// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package landlock

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Between looking a path up and using it, somebody can move it away.
func TestVerifyNoticesAMovedPath(t *testing.T) {
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	path := root + "/dir"
	if err := os.Mkdir(path, 0o777); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)

	if err := verify(OwnProc, fd, path); err != nil {
		t.Errorf("unmoved: %v", err)
	}
	if err := os.Rename(path, root+"/elsewhere"); err != nil {
		t.Fatal(err)
	}
	if err := verify(OwnProc, fd, path); err == nil || !strings.Contains(err.Error(), root+"/elsewhere") {
		t.Errorf("moved: %v, want an error that names the new place", err)
	}
	if err := os.Remove(root + "/elsewhere"); err != nil {
		t.Fatal(err)
	}
	if err := verify(OwnProc, fd, path); err == nil || !strings.Contains(err.Error(), "removed") {
		t.Errorf("removed: %v, want an error", err)
	}
}

func TestAdmits(t *testing.T) {
	set := &Ruleset{Paths: []PathRule{
		{Path: "/usr", Access: ReadFile},
		{Path: "/usr/bin", Access: Execute},
	}}
	for path, want := range map[string]bool{
		"/usr/bin/env": true, "/usr/bin": true, "/usr/lib": false, "/usr/binary": false, "/etc": false, "/": false,
	} {
		if got := set.Admits(path, ReadFile|Execute); got != want {
			t.Errorf("%s: %v, want %v", path, got, want)
		}
	}
	if !(&Ruleset{Paths: []PathRule{{Path: "/", Access: ReadFile}}}).Admits("/etc", ReadFile) {
		t.Error("a rule on / does not admit /etc")
	}
}
