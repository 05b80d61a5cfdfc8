// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Package drivertest does in a Nomad client's place what it does for its
// drivers, for tests and benchmarks that call a driver without an agent.
package drivertest

import (
	"os"
	"strings"
	"sync"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/nomad/client/lib/cgroupslib"
)

// InitCgroups makes the parents of the tasks' cgroups, as a client does when it
// starts.
var InitCgroups = sync.OnceValue(func() error {
	cores, err := os.ReadFile("/sys/devices/system/cpu/online")
	if err != nil {
		return err
	}
	if err := cgroupslib.Init(hclog.NewNullLogger(), strings.TrimSpace(string(cores))); err != nil {
		return err
	}
	if cgroupslib.GetMode() == cgroupslib.CG1 { // what the client's cpuset hook does
		return os.WriteFile("/sys/fs/cgroup/cpuset/nomad/share/cpuset.cpus", cores, 0)
	}
	return nil
})
