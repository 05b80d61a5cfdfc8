// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package sandbox

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/internal/kerneltest"
	"github.com/burin-labs/nomad-driver-harn/policy"
)

// deaf mounts a file system that answers nothing, as NFS does whose server is away, until
// the test has ended.
func deaf(t *testing.T, dir string) {
	t.Helper()
	f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no FUSE: %v", err)
	}
	if err := unix.Mount("deaf", dir, "fuse", 0, fmt.Sprintf("fd=%d,rootmode=40755,user_id=0,group_id=0,allow_other", f.Fd())); err != nil {
		f.Close()
		t.Skipf("no FUSE: %v", err)
	}
	t.Cleanup(func() {
		f.Close() // whoever waits gets an error
		_ = unix.Unmount(dir, unix.MNT_DETACH)
	})
}

// shortPatience has what does not answer be given up soon.
func shortPatience(t *testing.T) {
	t.Helper()
	was := filePatience
	filePatience = 300 * time.Millisecond
	t.Cleanup(func() { filePatience = was })
}

// homesHere makes /home another one, with homes in it.
func homesHere(t *testing.T, names ...string) {
	t.Helper()
	if err := unix.Mount("tmpfs", "/home", "tmpfs", 0, "mode=755"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount("/home", unix.MNT_DETACH) })
	for _, name := range names {
		if err := os.MkdirAll("/home/"+name, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// in fails if f does not return.
func in(t *testing.T, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatalf("%s does not return", what)
	}
}

// A home that does not answer, whose links nobody knows, refuses what shows something of the
// host, with its name; one that was known has what it had. Nobody waits for ever.
func TestHomeThatDoesNotAnswer(t *testing.T) {
	kerneltest.Root(t)
	homesHere(t, "answers", "deaf", "unknown")
	srv := t.TempDir()
	if err := os.Symlink(srv+"/credentials", "/home/deaf/.aws"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(srv+"/credentials", 0o755); err != nil {
		t.Fatal(err)
	}
	look := func() (reals []string, err error) {
		in(t, "looking for credentials", func() {
			var found []place
			found, err = credentialPlaces([]string{srv}, readHostMounts)
			for i := range found {
				reals = append(reals, found[i].real)
			}
		})
		return reals, err
	}
	if got, err := look(); err != nil || !slices.Equal(got, []string{srv + "/credentials"}) {
		t.Fatalf("all answer: %q, %v", got, err)
	}
	shortPatience(t)
	deaf(t, "/home/deaf")
	for range 3 {
		if got, err := look(); err != nil || !slices.Equal(got, []string{srv + "/credentials"}) {
			t.Errorf("one that was known: %q, %v, want what its link led to", got, err)
		}
	}
	delete(lastHomes.known, "/home/unknown")
	deaf(t, "/home/unknown")
	goroutines := 0
	for i := range 4 {
		_, err := look()
		wantError(t, "one that nobody knows", err, `"/home/unknown"`, "does not answer", "NFS")
		if i == 0 {
			goroutines = runtime.NumGoroutine()
		}
	}
	if now := runtime.NumGoroutine(); now > goroutines+1 {
		t.Errorf("%d goroutines, %d before: each start leaves one", now, goroutines)
	}
}

// Roots, volumes' sources and presets on a file system that does not answer are refused or
// left out, each with its name; others go on.
func TestRootsThatDoNotAnswer(t *testing.T) {
	kerneltest.Root(t)
	dir := t.TempDir()
	deaf(t, dir)
	shortPatience(t)
	dirs := testDirs(t)
	p := &policy.Policy{WorkspaceRoots: []string{filepath.Join(dir, "x")}}
	for range 2 {
		in(t, "a root", func() {
			_, _, err := effectivePolicy(&policy.Policy{}, p, dirs, policy.Resolve)
			wantError(t, "a root", err, "roots", filepath.Join(dir, "x"), "does not answer")
		})
	}
	in(t, "a preset", func() {
		s := &Settings{Presets: map[string]Preset{"dead": {ReadOnlyRoots: []string{dir + "/y"}}, "here": {ReadOnlyRoots: []string{"/usr"}}}}
		if here := s.PresetsHere(); here["dead"] || !here["here"] {
			t.Errorf("presets here: %v", here)
		}
	})
	in(t, "a volume", func() {
		_, err := findVolumes([]Mount{{TaskPath: "/mnt/x", HostPath: dir + "/z"}}, dirs, nil, nil)
		wantError(t, "a volume", err, "volume_mount", "/mnt/x", "does not answer")
	})
	in(t, "a root that answers", func() {
		_, roots, err := effectivePolicy(&policy.Policy{}, &policy.Policy{WorkspaceRoots: []string{"local"}}, testDirs(t), policy.Resolve)
		if err != nil || len(roots.Workspace) != 1 {
			t.Errorf("%v, %v", roots.Workspace, err)
		}
	})
}
