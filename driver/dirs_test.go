// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/hashicorp/nomad/plugins/drivers"
	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/internal/kerneltest"
	"github.com/burin-labs/nomad-driver-harn/sandbox"
)

func TestFindTaskDirsBelievesOnlyTheClient(t *testing.T) {
	kerneltest.Root(t)
	base, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"/alloc/a/t/local", "/alloc/a/alloc", "/mounts/a-t", "/other/local", "/other/alloc"} {
		if err := os.MkdirAll(base+dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	bind := func(from, to string) {
		t.Helper()
		if err := os.MkdirAll(to, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mount(from, to, "", unix.MS_BIND, ""); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = unix.Unmount(to, unix.MNT_DETACH) })
	}
	bind(base+"/alloc/a/t", base+"/mounts/a-t")
	bind(base+"/alloc/a/alloc", base+"/mounts/a-t/alloc")

	find := func(taskDir string) (*sandbox.Dirs, error) {
		return findTaskDirs(&drivers.TaskConfig{
			Name: "t", AllocDir: base + "/alloc/a", Env: map[string]string{"NOMAD_TASK_DIR": taskDir},
		})
	}
	dirs, err := find(base + "/mounts/a-t/local")
	if err != nil || dirs.Task != base+"/mounts/a-t" || dirs.Clients != base+"/alloc" {
		t.Errorf("got %+v, %v", dirs, err)
	}
	for _, lie := range []string{"", "/", "/etc/x", "local", base + "/other/local", base + "/none/local", base + "/alloc/a/t/local"} {
		_, err := find(lie)
		wantError(t, lie, err, "NOMAD_TASK_DIR")
	}
}

// Nomad joins the allocation's directory and the task's name, whatever that is.
func TestFindTaskDirsRefusesNamesThatLeadElsewhere(t *testing.T) {
	for _, name := range []string{"..", ".", "", "alloc", "t/local", "../b", "t\x00"} {
		_, err := findTaskDirs(&drivers.TaskConfig{Name: name, AllocDir: "/alloc/a", Env: map[string]string{"NOMAD_TASK_DIR": "/mounts/x/local"}})
		wantError(t, name, err, "name "+strconv.Quote(name), "rename the task")
	}
	for _, name := range []string{"...", "a..b", "allocs", "local", " "} {
		if err := checkTaskName(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
}
