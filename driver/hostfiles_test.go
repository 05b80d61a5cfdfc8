// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/executor"
	"github.com/burin-labs/nomad-driver-harn/policy"
	"github.com/burin-labs/nomad-driver-harn/sandbox"
)

// mountOver mounts a file or directory over another, until the end of the test.
func mountOver(t *testing.T, source, target string) {
	t.Helper()
	if err := unix.Mount(source, target, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(target, unix.MNT_DETACH) })
}

// A directory of the host's in which files are replaced as hosts do it.
func TestTaskFollowsTheHostsFiles(t *testing.T) {
	h := newHarness(t, nil)
	if err := executor.OverlayWorks("/etc"); err != nil {
		t.Skip(err)
	}
	etc := t.TempDir()
	if err := os.CopyFS(etc, os.DirFS("/etc/alternatives")); err != nil && !os.IsNotExist(err) {
		t.Log(err)
	}
	for _, file := range []string{"passwd", "group", "nsswitch.conf"} {
		text, _ := os.ReadFile("/etc/" + file)
		write(t, filepath.Join(etc, file), string(text))
	}
	write(t, etc+"/resolv.conf", "nameserver 192.0.2.1\n")
	write(t, etc+"/hosts", "192.0.2.1 first\n")
	if err := os.Chmod(etc, 0o755); err != nil {
		t.Fatal(err)
	}
	mountOver(t, etc, "/etc")
	cfg := h.task(sh(`for n in 1 2 3; do while [ ! -e local/$n ]; do sleep 0.02; done
		for i in $(seq 200); do grep -q 192.0.2.$n /etc/resolv.conf && grep -q "192.0.2.$n" /etc/hosts && break; sleep 0.05; done
		echo "$n: $(cat /etc/resolv.conf /etc/hosts | tr '\n' ' ')"; done
		touch /etc/resolv.conf; echo x > /.host/hosts; ls /.host; sleep 60`))
	h.start(cfg)
	local := filepath.Join(cfg.TaskDir().Dir, "local")
	write(t, local+"/1", "")
	h.log(cfg, "stdout", "1: nameserver 192.0.2.1 192.0.2.1 first")
	for _, file := range []string{"resolv.conf", "hosts"} { // replaced by rename
		write(t, etc+"/new", "nameserver 192.0.2.2\n")
		if err := os.Rename(etc+"/new", etc+"/"+file); err != nil {
			t.Fatal(err)
		}
	}
	write(t, local+"/2", "")
	h.log(cfg, "stdout", "2: nameserver 192.0.2.2 nameserver 192.0.2.2")
	write(t, etc+"/elsewhere", "nameserver 192.0.2.3\n")
	for _, file := range []string{"resolv.conf", "hosts"} { // a link that leads elsewhere
		if err := os.Remove(etc + "/" + file); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("elsewhere", etc+"/"+file); err != nil {
			t.Fatal(err)
		}
	}
	write(t, local+"/3", "")
	h.log(cfg, "stdout", "3: nameserver 192.0.2.3 nameserver 192.0.2.3")
	h.log(cfg, "stderr", "/.host/hosts: ")
	if text, _ := os.ReadFile(sandbox.HostFilesDir(h.config.StateDir) + "/hosts"); string(text) != "nameserver 192.0.2.3\n" {
		t.Errorf("the task has changed the copy: %q", text)
	}
	// A job cannot name the copies as a place to write.
	cfg = h.task(TaskConfig{Command: "/bin/true", Policy: &policy.Policy{WorkspaceRoots: []string{sandbox.HostFilesDir(h.config.StateDir)}}})
	_, _, err := h.StartTask(cfg)
	wantError(t, "the copies as a workspace", err, "workspace_roots", "copies of the host's")
}

func write(t *testing.T, path, text string) {
	t.Helper()
	err := os.WriteFile(path, []byte(text), 0o644)
	if err != nil {
		t.Fatal(err)
	}
}

// A session starts, whatever became of the host's files that are roots.
func TestSessionAfterRootsWereReplaced(t *testing.T) {
	h := newHarness(t, nil)
	base := filepath.Join(filepath.Dir(h.config.StateDir), "roots")
	for _, dir := range []string{"current", "gone", "linked"} {
		if err := os.MkdirAll(filepath.Join(base, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(t, base+"/app.conf", "old\n")
	cfg := h.task(TaskConfig{Command: "/bin/sleep", Args: []string{"60"}, Policy: &policy.Policy{
		WorkspaceRoots: []string{"local"}, ReadOnlyRoots: []string{base + "/app.conf", base + "/current", base + "/gone", base + "/linked"},
	}})
	h.start(cfg)
	write(t, base+"/new", "new\n")
	for _, err := range []error{
		os.Rename(base+"/new", base+"/app.conf"),
		os.RemoveAll(base + "/current"), os.Mkdir(base+"/current", 0o755),
		os.RemoveAll(base + "/gone"),
		os.RemoveAll(base + "/linked"), os.Symlink("/root", base+"/linked"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	result, err := h.driver.ExecTask(cfg.ID, []string{"/bin/sh", "-c", "cat " + base + "/app.conf; ls " + base + "/linked/ /root && echo open"}, 10e9)
	if err != nil {
		t.Fatal(err)
	}
	if out := string(result.Stdout); !strings.HasPrefix(out, "old\n") || !strings.Contains(out, "/root': Permission denied\n") || strings.HasSuffix(out, "open\n") {
		t.Errorf("%q", out)
	}
}
