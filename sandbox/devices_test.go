// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package sandbox

import (
	"testing"

	"github.com/burin-labs/nomad-driver-harn/policy"
)

func TestFindDevices(t *testing.T) {
	find := func(task, host, permissions string) ([]device, error) {
		return findDevices([]DeviceMount{{TaskPath: task, HostPath: host, Permissions: permissions}})
	}
	got, err := find("/dev/gpu0", "/dev/null", "rw")
	if err != nil || len(got) != 1 || got[0].host != "/dev/null" || got[0].Device != (policy.Device{Path: "/dev/gpu0", Read: true, Write: true, Ioctl: true}) {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err = find("/dev/gpu0", "/dev/null", "rm"); err != nil || got[0].Write || !got[0].Read {
		t.Errorf("%+v, %v", got, err)
	}
	for _, tc := range [][4]string{
		{"/gpu0", "/dev/null", "rw", "in /dev only"},
		{"/dev/../etc/x", "/dev/null", "rw", "in /dev only"},
		{"/dev/gpu0", "/dev/none", "rw", "no such file"},
		{"/dev/gpu0", "/etc/passwd", "rw", "not a device"},
		{"/dev/gpu0", "/dev/null", "rwx", `"rwx"`},
	} {
		_, err := find(tc[0], tc[1], tc[2])
		wantError(t, tc[0], err, "device", tc[0], tc[3])
	}
}
