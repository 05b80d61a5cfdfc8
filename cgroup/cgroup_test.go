// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package cgroup

import (
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
