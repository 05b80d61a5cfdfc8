// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/internal/kerneltest"
	"github.com/burin-labs/nomad-driver-harn/policy"
)

// A socket, a FIFO and a device can be roots and be kept as they are, as files can; a device
// as a root, which could never be opened, is refused.
func TestSpecialFiles(t *testing.T) {
	kerneltest.Root(t)
	h := newHarness(t, nil)
	for name, makes := range map[string]func(path string) error{
		"socket": func(path string) error {
			l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
			if err == nil {
				t.Cleanup(func() { _ = l.Close() })
			}
			return err
		},
		"fifo":   func(path string) error { return unix.Mkfifo(path, 0o666) },
		"device": func(path string) error { return unix.Mknod(path, unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))) },
		"file":   func(path string) error { return os.WriteFile(path, nil, 0o666) },
	} {
		base, err := os.MkdirTemp(kerneltest.Scratch(), "special-")
		check(t, err)
		t.Cleanup(func() { os.RemoveAll(base) })
		check(t, os.Chmod(base, 0o777))
		path := filepath.Join(base, "it")
		check(t, makes(path))
		check(t, os.Chmod(path, 0o666))
		run := func(p policy.Policy, script string) string {
			t.Helper()
			c := sh(script + "; echo end")
			c.Policy = &p
			cfg := h.task(c)
			cfg.User = "nobody"
			if err := os.Lchown(path, 65534, 65534); err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
			h.start(cfg)
			h.wait(cfg.ID)
			return h.log(cfg, "stdout", "end\n")
		}
		const changes = `
			[ -e $0/it ] && echo there
			chmod 777 $0/it && echo mode
			mv $0/it $0/moved && mv $0/moved $0/it && echo moved
			rm $0/it && echo removed`
		script := `set -- ` + base + `; sh -c '` + changes + `' $1 2>/dev/null`
		if got := run(policy.Policy{WorkspaceRoots: []string{"local", base}, Extensions: policy.Extensions{Protect: []string{path}}}, script); got != "there\nend\n" {
			t.Errorf("%s, kept by protect: %q, want that it is there and stays as it is", name, got)
		}
		for field, p := range map[string]policy.Policy{
			"workspace_roots": {WorkspaceRoots: []string{"local", path}}, "read_only_roots": {WorkspaceRoots: []string{"local"}, ReadOnlyRoots: []string{path}},
		} {
			if name == "device" {
				c := sh("true")
				c.Policy = &p
				_, _, err := h.StartTask(h.task(c))
				wantError(t, "start", err, field, path, "it is a device", "devices")
				continue
			}
			if got := run(p, "[ -e "+path+" ] && echo there"); got != "there\nend\n" {
				t.Errorf("%s of %s: %q", name, field, got)
			}
		}
		if got := run(policy.Policy{WorkspaceRoots: []string{"local", base}}, script); got != "there\nmode\nmoved\nremoved\nend\n" {
			t.Errorf("%s: control: %q", name, got)
		}
	}
}
