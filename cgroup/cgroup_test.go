// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package cgroup

import (
	"strings"
	"testing"
)

func TestV1Parent(t *testing.T) {
	for cpuset, want := range map[string]string{
		"/sys/fs/cgroup/cpuset/nomad/share":          "nomad",
		"/sys/fs/cgroup/cpuset/nomad/reserve/a.t":    "nomad",
		"/sys/fs/cgroup/cpuset/one/two/share":        "one/two",
		"/sys/fs/cgroup/cpuset/nomad/reserve/b.t":    "",
		"/sys/fs/cgroup/memory/nomad/share":          "",
		"/sys/fs/cgroup/nomad.slice/share.slice/a.t": "",
	} {
		got, err := v1Parent(cpuset, "a.t")
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v, want %q", cpuset, got, err, want)
		}
	}
}

// Without cgroups, a task for which the client names one is refused: it would have no
// limits.
func TestFindWithoutCgroups(t *testing.T) {
	g, err := find(0, "/sys/fs/cgroup/nomad.slice/share.slice/a.t.scope", "a", "t")
	if err == nil || !strings.Contains(err.Error(), "mount cgroup2") {
		t.Errorf("%+v, %v", g, err)
	}
	if g, err := Find("", "a", "t"); err != nil || len(g.Paths) != 0 {
		t.Errorf("of a client that manages none: %+v, %v", g, err)
	}
}
