// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package sandbox

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// docs/security.md names every place that is masked for all tasks.
func TestDocumentsNameEveryMask(t *testing.T) {
	text, err := os.ReadFile("../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## Protected places\n")
	section, _, _ = strings.Cut(section, "\n## ")
	for _, mask := range builtinMasks {
		if !strings.Contains(section, "`"+mask+"`") {
			t.Errorf("docs/security.md, \"Protected places\": no `%s`", mask)
		}
	}
}

// A task's own directories are exempt from the rules: so they must hold none of
// the places, by whatever name.
func TestCheckOwn(t *testing.T) {
	base, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	alloc, other := filepath.Join(base, "data/alloc"), filepath.Join(base, "mounts/a-..")
	for _, dir := range []string{alloc + "/a/t", filepath.Dir(other)} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(alloc, other); err != nil { // as Nomad's mount would be
		t.Fatal(err)
	}
	places := func(task string) []place {
		return protectedPlaces(&Settings{}, &Dirs{Task: task, Clients: alloc, Mounts: filepath.Dir(other)}, nil)
	}
	for _, dir := range []string{alloc, base, "/", other} {
		if err := checkOwn(places(dir), dir); err == nil || !strings.Contains(err.Error(), strconv.Quote(alloc)) {
			t.Errorf("%s: %v, want %s named", dir, err, alloc)
		}
	}
	for _, dir := range []string{alloc + "/a", alloc + "/a/t", alloc + "/none"} {
		if err := checkOwn(places(dir), dir); err != nil {
			t.Errorf("%s: %v", dir, err)
		}
	}
}
