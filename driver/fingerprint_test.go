// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"strings"
	"testing"

	"github.com/hashicorp/nomad/plugins/drivers"

	"github.com/burin-labs/nomad-driver-harn/executor"
	"github.com/burin-labs/nomad-driver-harn/landlock"
	"github.com/burin-labs/nomad-driver-harn/policy"
	"github.com/burin-labs/nomad-driver-harn/sandbox"
)

func TestFingerprint(t *testing.T) {
	for _, tc := range []struct {
		name     string
		config   Config
		proof    executor.Proof
		health   drivers.HealthState
		says     string
		profiles string
	}{
		{"ABI 7", Config{}, executor.Proof{ABI: 7}, drivers.HealthStateHealthy, drivers.DriverHealthy, "worktree,os_hardened"},
		{"no Landlock", Config{}, executor.Proof{Landlock: "not built"}, drivers.HealthStateUnhealthy, "not built", ""},
		{"no Landlock, warn", Config{Settings: sandbox.Settings{Fallback: "warn"}}, executor.Proof{Landlock: "not built"}, drivers.HealthStateHealthy, drivers.DriverHealthy, "worktree"},
		{"no Landlock, hardened only", Config{Settings: sandbox.Settings{Fallback: "warn", Ceiling: &policy.Policy{SandboxProfile: "os_hardened"}}}, executor.Proof{Landlock: "not built"}, drivers.HealthStateUnhealthy, "not built", ""},
		{"unrestricted", Config{Settings: sandbox.Settings{Ceiling: &policy.Policy{SandboxProfile: "unrestricted"}}}, executor.Proof{ABI: 1}, drivers.HealthStateHealthy, drivers.DriverHealthy, "unrestricted,worktree,os_hardened"},
		{"no seccomp", Config{}, executor.Proof{ABI: 7, Seccomp: "no filters"}, drivers.HealthStateUnhealthy, "no filters", "worktree,os_hardened"},
	} {
		tc.config.StateDir = "/state"
		if err := tc.config.Validate(); err != nil {
			t.Fatal(err)
		}
		fp := describe(&tc.config, tc.proof, 2)
		if fp.Health != tc.health || !strings.Contains(fp.HealthDescription, tc.says) {
			t.Errorf("%s: %s, %q", tc.name, fp.Health, fp.HealthDescription)
		}
		if got, _ := fp.Attributes["driver.harn.profiles"].GetString(); got != tc.profiles {
			t.Errorf("%s: profiles %q, want %q", tc.name, got, tc.profiles)
		}
		if got, _ := fp.Attributes["driver.harn.landlock.abi"].GetInt(); got != int64(tc.proof.ABI) {
			t.Errorf("%s: ABI %d", tc.name, got)
		}
	}
	for version, want := range map[int]drivers.HealthState{0: drivers.HealthStateUnhealthy, 1: drivers.HealthStateHealthy, 2: drivers.HealthStateHealthy} {
		fp := describe(&Config{Settings: sandbox.Settings{Ceiling: &policy.Policy{}}}, executor.Proof{ABI: 7}, version)
		if fp.Health != want || version == 0 && !strings.Contains(fp.HealthDescription, "mount cgroup2") {
			t.Errorf("cgroups v%d: %s, %q", version, fp.Health, fp.HealthDescription)
		}
	}
	features := func(abi landlock.ABI) (out string) {
		fp := describe(&Config{Settings: sandbox.Settings{Ceiling: &policy.Policy{}}}, executor.Proof{ABI: abi}, 1)
		for _, f := range []string{"fs", "net", "ioctl_dev", "scope", "audit", "unix"} {
			if on, _ := fp.Attributes["driver.harn.landlock."+f].GetBool(); on {
				out += f + " "
			}
		}
		return out
	}
	for abi, want := range map[landlock.ABI]string{
		0: "", 1: "fs ", 3: "fs ", 4: "fs net ", 5: "fs net ioctl_dev ", 6: "fs net ioctl_dev scope ",
		8: "fs net ioctl_dev scope audit ", 9: "fs net ioctl_dev scope audit unix ", 99: "fs net ioctl_dev scope audit unix ",
	} {
		if got := features(abi); got != want {
			t.Errorf("ABI %d: %s, want %s", abi, got, want)
		}
	}
}
