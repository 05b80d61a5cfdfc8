// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package executor

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func (f *fixture) write(name, content string) {
	f.t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		f.t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		f.t.Fatal(err)
	}
}

// Whatever is covered, and however often, is empty, and stays so.
func TestMasks(t *testing.T) {
	f := newPlainFixture(t)
	for _, name := range []string{"a/one", "a/two", "b/three", "c/deep/four", "d/five"} {
		f.write(f.workspace+"/"+name, "secret\n")
	}
	if err := os.Chmod(f.workspace+"/c", 0o777); err != nil {
		t.Fatal(err)
	}
	masked := []string{"a/one", "a/two", "b", "c/deep", "d"}
	plan := f.plan(`
		cat a/one a/two
		find b c d
		for file in a/one a/two b/new c/deep/new d/new; do echo x > $file; done 2> /dev/null
		stat -L -c %F ` + strings.Join(masked, " ") + `
		grep ' ` + f.workspace + `/[^ ]* r[ow],' /proc/self/mountinfo | cut -d ' ' -f 5-6`)
	var want strings.Builder
	want.WriteString("b\nc\nc/deep\nd\n")
	kinds, mounts := "", ""
	for _, name := range masked {
		plan.Isolation.Mounts = append(plan.Isolation.Mounts, Mount{Type: Mask, Target: f.workspace + "/" + name})
		kind, flags := "directory", "ro,nosuid,nodev,noexec,relatime"
		if strings.HasPrefix(name, "a/") {
			kind, flags = "regular empty file", "ro,nosuid,nodev,noexec,relatime"
		}
		kinds += kind + "\n"
		mounts += f.workspace + "/" + name + " " + flags + "\n"
	}
	want.WriteString(kinds + mounts)
	plan.Confinement.Ruleset = nil
	plan.Confinement.User = User{} // whom no permission keeps from writing
	if out, exit := f.run(plan); out != want.String() {
		t.Errorf("exit %+v, got\n%s\nwant\n%s", exit, out, want.String())
	}
}
