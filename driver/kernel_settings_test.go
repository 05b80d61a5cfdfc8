// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/hashicorp/nomad/plugins/drivers"
	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/internal/kerneltest"
	"github.com/burin-labs/nomad-driver-harn/policy"
)

// By sysfs and its like, wherever they are mounted, root configures the machine: a task of
// root can read what a root shows of them, and write to nothing.
func TestKernelSettings(t *testing.T) {
	kerneltest.Root(t)
	base, err := os.MkdirTemp(kerneltest.Scratch(), "settings-")
	check(t, err)
	t.Cleanup(func() { os.RemoveAll(base) })
	check(t, os.Chmod(base, 0o777))
	// Under another name, and at another place.
	sys, covered := filepath.Join(base, "deep", "of the kernel"), filepath.Join(base, "covered")
	for _, dir := range []string{sys, covered} {
		check(t, os.MkdirAll(dir, 0o777))
		check(t, unix.Mount("any", dir, "sysfs", 0, ""))
		t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	}
	check(t, unix.Mount("tmpfs", covered, "tmpfs", 0, "mode=777"))
	t.Cleanup(func() { _ = unix.Unmount(covered, unix.MNT_DETACH) })
	setting := filepath.Join(sys, "kernel", "rcu_expedited")
	control, err := os.OpenFile(setting, os.O_WRONLY, 0)
	if err != nil {
		t.Skipf("nothing can be set here: %v", err)
	}
	control.Close()

	h := newHarness(t, func(c *Config) { c.AllowRoot = true })
	script := `
		(: >> "` + setting + `") 2>/dev/null && echo written
		cat "` + setting + `" >/dev/null && echo read
		(: > "` + base + `/file") && (: > "` + covered + `/file") && echo beside
		echo end`
	for name, config := range map[string]*policy.Policy{
		"above":     {WorkspaceRoots: []string{"local", base}},
		"read-only": {WorkspaceRoots: []string{"local", filepath.Join(base, "covered"), filepath.Join(base, "deep")}, ReadOnlyRoots: []string{sys}},
	} {
		c := sh(script)
		c.Policy = config
		cfg := h.task(c)
		cfg.User = "root"
		h.start(cfg)
		h.wait(cfg.ID)
		want := "read\nbeside\nend\n"
		if name == "read-only" {
			want = "read\nend\n"
		}
		if out := h.log(cfg, "stdout", "end\n"); out != want {
			t.Errorf("%s: %q, want %q", name, out, want)
		}
	}

	for _, user := range []string{"root", "nobody"} {
		for _, root := range []string{sys, filepath.Dir(setting), setting, "/sys", "/sys/fs/cgroup"} {
			c := sh("true")
			c.Policy = &policy.Policy{WorkspaceRoots: []string{"local", root}}
			cfg := h.task(c)
			cfg.User = user
			_, _, err := h.StartTask(cfg)
			wantError(t, user+": "+root, err, "workspace_roots", root)
		}
		cfg := h.task(sh("true"))
		cfg.User = user
		cfg.Mounts = []*drivers.MountConfig{{TaskPath: "/mnt/x", HostPath: sys}}
		_, _, err := h.StartTask(cfg)
		wantError(t, user+": volume", err, "volume_mount", sys)
	}
}
