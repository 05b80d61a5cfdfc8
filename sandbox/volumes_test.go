// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package sandbox

import (
	"os"
	"strings"
	"testing"

	"github.com/burin-labs/nomad-driver-harn/internal/kerneltest"
	"github.com/burin-labs/nomad-driver-harn/policy"
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

// What a volume may hide, and what it may not: a destination is refused with a reason
// before anything is composed, or it works.
func TestWhatVolumesMayHide(t *testing.T) {
	kerneltest.Root(t)
	source := t.TempDir()
	for name, want := range map[string]string{ // "" where it is admitted
		"local": "", "local/data": "", "secrets": "", "tmp": "", "alloc/data": "", "alloc/tmp": "", "data": "",
		"/usr/local/bin": "", "/etc/ssl": "", "/opt": "", "/srv/data": "",
		"alloc": "it would hide", "alloc/logs": "in which Nomad alone writes", ".": "every task needs",
		"/usr": "every task needs", "/etc": "every task needs", "/bin": "every task needs", "/dev/shm": "the kernel's",
	} {
		dirs := testDirs(t)
		for _, dir := range []string{"alloc/data", "alloc/tmp", "secrets", "tmp"} {
			if err := os.MkdirAll(dirs.Task+"/"+dir, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		for _, readOnly := range []bool{false, true} {
			_, err := decideVolume(t, dirs, Mount{HostPath: source, TaskPath: name, ReadOnly: readOnly})
			if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "volume_mount: destination")) || err != nil && strings.Contains(err.Error(), "fault of the driver") {
				t.Errorf("%s, read-only %v: %v, want %q", name, readOnly, err, want)
			}
		}
	}
}

func decideVolume(t *testing.T, dirs *Dirs, m Mount) (*Sandbox, error) {
	t.Helper()
	settings, err := Defaults()
	if err != nil {
		t.Fatal(err)
	}
	node := policy.Node{ABI: 7} // of whatever kernel this one is: nothing is started
	return decide(settings, &Host{Node: node, Cores: 1}, &Task{Dirs: *dirs, Mounts: []Mount{m}}, &Request{Policy: &policy.Policy{}}, &account{anyone: true}, policy.Resolve)
}

// A directory is not mounted on a file, nor a file on a directory.
func TestVolumesOfAnotherKind(t *testing.T) {
	kerneltest.Root(t)
	dirs := testDirs(t)
	directory, file := t.TempDir(), dirs.Task+"/local/file"
	source := directory + "/source"
	for _, path := range []string{file, source} {
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct{ host, task, want string }{
		{directory, "local/file", "a directory cannot be mounted on a file"},
		{source, "local", "a file cannot be mounted on a directory"},
		{source, "local/file", ""},
		{directory, "local", ""},
		{source, "local/new", ""},
	} {
		_, err := decideVolume(t, dirs, Mount{HostPath: tc.host, TaskPath: tc.task})
		if tc.want == "" && err != nil {
			t.Errorf("%+v: %v", tc, err)
		} else if tc.want != "" {
			wantError(t, tc.task, err, "volume_mount: destination", tc.task, tc.want)
		}
	}
}
