// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package sandbox

import (
	"fmt"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/executor"
	"github.com/burin-labs/nomad-driver-harn/policy"
)

func TestCoreDumps(t *testing.T) {
	core := func(soft, hard uint64) executor.Limit {
		return executor.Limit{Resource: unix.RLIMIT_CORE, Soft: soft, Hard: hard}
	}
	files := executor.Limit{Resource: unix.RLIMIT_NOFILE, Soft: 1, Hard: 2}
	for _, tc := range []struct {
		profile policy.Profile
		limits  []executor.Limit
		want    []executor.Limit // nil: refused
	}{
		{policy.Worktree, []executor.Limit{files}, []executor.Limit{files, core(1, 1)}},
		{policy.Worktree, []executor.Limit{core(5, 9)}, []executor.Limit{core(5, 9)}},
		{policy.Worktree, []executor.Limit{core(0, 0), files}, []executor.Limit{core(1, 1), files}},
		{policy.Worktree, []executor.Limit{core(0, 9)}, []executor.Limit{core(0, 9)}},
		{policy.OSHardened, []executor.Limit{files}, []executor.Limit{files, core(1, 1)}},
		{policy.OSHardened, []executor.Limit{core(0, 0), files}, []executor.Limit{core(1, 1), files}},
		{policy.OSHardened, []executor.Limit{core(0, 9)}, nil},
		{policy.Unrestricted, []executor.Limit{files}, []executor.Limit{files}},
	} {
		got, err := limitCore(slices.Clone(tc.limits), tc.profile)
		if tc.want == nil {
			wantError(t, "core", err, "ulimit: core", "os_hardened", "set it to 0")
		} else if err != nil || !slices.Equal(got, tc.want) {
			t.Errorf("%v with %v: %v, %v, want %v", tc.profile, tc.limits, got, err, tc.want)
		}
	}
}

func TestLimits(t *testing.T) {
	got, err := parseLimits(map[string]string{"nofile": "100:200", "core": "0", "nproc": "7"})
	want := []executor.Limit{
		{Resource: unix.RLIMIT_CORE},
		{Resource: unix.RLIMIT_NOFILE, Soft: 100, Hard: 200},
		{Resource: unix.RLIMIT_NPROC, Soft: 7, Hard: 7},
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	var agents unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &agents); err != nil {
		t.Fatal(err)
	}
	for value, want := range map[string]string{
		"": "is not a number", "x": `"x" is not a number`, "-2": "is not a number", "1:2:3": "is not a number", "9:8": "above the hard one",
		"unlimited": "exceeds the agent's own hard limit", fmt.Sprint(agents.Max + 1): fmt.Sprint(agents.Max),
	} {
		_, err := parseLimits(map[string]string{"nofile": value})
		wantError(t, value, err, "ulimit", "nofile", want)
	}
	_, err = parseLimits(map[string]string{"files": "1"})
	wantError(t, "unknown", err, `"files"`, "nofile")
}
