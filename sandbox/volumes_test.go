// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package sandbox

import (
	"testing"

	"github.com/burin-labs/nomad-driver-harn/internal/kerneltest"
)

func TestFindVolumes(t *testing.T) {
	kerneltest.Root(t)
	dirs := &Dirs{Task: "/data/mounts/a-t", Clients: "/data/alloc"}
	source := t.TempDir()
	find := func(task, host, propagation string) ([]volume, error) {
		return findVolumes([]Mount{{TaskPath: task, HostPath: host, PropagationMode: propagation, ReadOnly: true}}, dirs, defaultSystemReadRoots, nil)
	}
	for task, want := range map[string]string{
		"/srv/data": "/srv/data", "/srv/../opt/x/": "/opt/x", "data": "/data/mounts/a-t/data", "/etc/app": "/etc/app", "/data/mounts/a-t/local": "/data/mounts/a-t/local",
	} {
		got, err := find(task, source, "private")
		if err != nil || len(got) != 1 || got[0].task != want || !got[0].readOnly || got[0].propagate {
			t.Errorf("%s: %+v, %v", task, got, err)
		}
	}
	if got, err := find("/srv", source, "host-to-task"); err != nil || !got[0].propagate {
		t.Errorf("host-to-task: %+v, %v", got, err)
	}
	for task, want := range map[string]string{
		"/": "whole file system", "/usr": "/usr", "/etc/": "/etc", "/bin": "/bin", "/proc": "/proc", "/proc/x": "/proc", "/sys/fs": "/sys", "/dev/x": "/dev",
		"/data": "hide", "/data/mounts/a-t": "hide", "/srv/../": "whole file system", "../..": "hide", "a\x00b": "NUL",
	} {
		_, err := find(task, source, "")
		wantError(t, task, err, "volume_mount", want)
	}
	_, err := find("/srv", source+"/none", "")
	wantError(t, "source", err, "/srv", source+"/none does not exist")
	for _, mode := range []string{"bidirectional", "shared"} {
		_, err := find("/srv", source, mode)
		wantError(t, mode, err, "/srv", mode, "host-to-task")
	}
	_, err = findVolumes([]Mount{{TaskPath: "/a", HostPath: source}, {TaskPath: "/a/", HostPath: source}}, dirs, defaultSystemReadRoots, nil)
	wantError(t, "twice", err, "two volumes")
}
