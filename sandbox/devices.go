// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package sandbox

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/burin-labs/nomad-driver-harn/executor"
	"github.com/burin-labs/nomad-driver-harn/internal/plain"
	"github.com/burin-labs/nomad-driver-harn/policy"
)

// device is a device node of the host, and what a task may do with it.
type device struct {
	host string
	policy.Device
}

// DeviceMount is a device node that a device plugin gives to a task.
type DeviceMount struct {
	HostPath, TaskPath string
	Permissions        string // some of r, w and m
}

// findDevices checks the devices that device plugins give to a task. Their permissions are cgroup permissions: r, w and m, for mknod(2), which no
// task may. Who has a device may use its ioctls.
func findDevices(configs []DeviceMount) ([]device, error) {
	var devices []device
	for _, c := range configs {
		d := device{host: c.HostPath, Device: policy.Device{
			Path:  filepath.Clean(c.TaskPath),
			Read:  strings.Contains(c.Permissions, "r"),
			Write: strings.Contains(c.Permissions, "w"),
			Ioctl: true,
		}}
		if rest := strings.Trim(c.Permissions, "rwm"); rest != "" {
			return nil, fmt.Errorf("device %q: unknown permissions %q, expected some of r, w and m", c.TaskPath, c.Permissions)
		}
		if !strings.HasPrefix(d.Path, "/dev/") {
			return nil, fmt.Errorf("device %q: a task has devices in /dev only", c.TaskPath)
		}
		info, err := os.Stat(d.host)
		if err != nil {
			return nil, fmt.Errorf("device %q: %w", c.TaskPath, err)
		}
		if info.Mode()&os.ModeDevice == 0 {
			return nil, fmt.Errorf("device %q: %s is not a device", c.TaskPath, plain.Name(d.host))
		}
		if d.host, err = policy.RealPath(d.host); err != nil {
			return nil, fmt.Errorf("device %q: %w", c.TaskPath, err)
		}
		devices = append(devices, d)
	}
	return devices, nil
}

// namedDevices looks up the devices that a policy names. allowed are the
// operator's patterns.
func namedDevices(paths, allowed []string) ([]device, error) {
	var devices []device
	for i, path := range paths {
		if !slices.ContainsFunc(allowed, func(pattern string) bool {
			match, _ := filepath.Match(pattern, path)
			return match
		}) {
			operators := "none"
			if len(allowed) > 0 {
				operators = strings.Join(allowed, ", ")
			}
			return nil, fmt.Errorf("devices[%d]: %q is not allowed by the operator (plugin option devices: %s)", i, path, operators)
		}
		found, err := findDevices([]DeviceMount{{TaskPath: path, HostPath: path, Permissions: "rw"}})
		if err != nil {
			return nil, fmt.Errorf("devices[%d]: %w", i, err)
		}
		devices = append(devices, found...)
	}
	return devices, nil
}

// deviceMounts make the nodes in a task's own /dev.
func deviceMounts(devices []device) []placed {
	var mounts []placed
	for _, d := range devices {
		mounts = append(mounts, placed{Mount: executor.Mount{
			Type: executor.Device, Source: d.host, Target: d.Path, ReadOnly: !d.Write,
		}})
	}
	return mounts
}
