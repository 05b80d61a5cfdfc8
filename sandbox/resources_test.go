// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package sandbox

import (
	"testing"
)

func TestResources(t *testing.T) {
	of := func(memory, most, shares int64, fraction float64) *Resources {
		return &Resources{MemoryMB: memory, MemoryMaxMB: most, CPUShares: shares, CPUFraction: fraction, Cpuset: "1"}
	}
	for _, tc := range []struct {
		resources *Resources
		request   Request
		most      int64
		want      CgroupLimits
	}{
		{of(64, 0, 100, 0.25), Request{}, 4096, CgroupLimits{
			Memory: 64 << 20, MemorySwap: 64 << 20, MemoryReservation: 64 << 20, CPUShares: 100, Pids: 4096, Cpuset: "1",
		}},
		{of(64, 128, 100, 0.25), Request{CPUHardLimit: true, PidsLimit: 5}, 0, CgroupLimits{ // a quarter of 4 cores is one
			Memory: 128 << 20, MemorySwap: 128 << 20, MemoryReservation: 64 << 20, CPUShares: 100, CPUQuota: 100_000, CPUPeriod: 100_000, Pids: 5, Cpuset: "1",
		}},
		{of(64, -1, 1, 0.0001), Request{CPUHardLimit: true}, 0, CgroupLimits{
			Memory: -1, MemorySwap: -1, MemoryReservation: 64 << 20, CPUShares: 1, CPUQuota: 1000, CPUPeriod: 100_000, Cpuset: "1",
		}},
	} {
		got, err := cgroupLimits(tc.resources, &tc.request, &Settings{PidsLimit: tc.most}, 4)
		if err != nil || *got != tc.want {
			t.Errorf("%+v, %+v: %+v, %v, want %+v", tc.resources, tc.request, got, err, tc.want)
		}
	}
	_, err := cgroupLimits(of(1, 0, 1, 0), &Request{PidsLimit: 9}, &Settings{PidsLimit: 8}, 1)
	wantError(t, "pids_limit", err, "pids_limit: 9", "operator's 8")
	for want, task := range map[string]Request{
		"oom_score_adj: -1":   {OOMScoreAdj: -1},
		"oom_score_adj: 1001": {OOMScoreAdj: 1001},
		"nice: -1":            {Nice: -1},
		"nice: 20":            {Nice: 20},
		"pids_limit: -1":      {PidsLimit: -1},
		`pid_mode: unknown`:   {PIDMode: "hots"},
		`ipc_mode: unknown`:   {IPCMode: "x"},
	} {
		task.Command = "x"
		wantError(t, want, task.Validate(), want, "expected")
	}
}
