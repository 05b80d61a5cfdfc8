// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestRecordsDirIsOneComponent(t *testing.T) {
	const alloc = "0123456789abcdef"
	dirs := map[string]bool{}
	for _, task := range []string{"web", "a/b", "..", strings.Repeat("x", 300), "Größe", ""} {
		dir := recordsDir("/state", alloc, task, alloc+"/"+task+"/1")
		if filepath.Dir(dir) != "/state" || len(filepath.Base(dir)) > 100 || dirs[dir] {
			t.Errorf("task %q: %s", task, dir)
		}
		dirs[dir] = true
	}
	if recordsDir("/state", alloc, "web", "1") == recordsDir("/state", alloc, "web", "2") {
		t.Error("two starts of a task share their records")
	}
}
