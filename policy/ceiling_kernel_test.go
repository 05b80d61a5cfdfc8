// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/burin-labs/nomad-driver-harn/internal/kerneltest"
)

// climbs reports whether a walk from a directory to the root, by the kernel's
// own "..", passes one of the limits. The path must be free of links, of which
// the kernel makes sure as well.
func climbs(t *testing.T, path string, limits []string) bool {
	t.Helper()
	at, err := unix.Openat2(unix.AT_FDCWD, path, &unix.OpenHow{Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_SYMLINKS})
	if err != nil {
		t.Fatalf("%s is not the real path of a directory: %v", path, err)
	}
	defer func() { unix.Close(at) }()
	type place struct{ dev, ino uint64 }
	var wanted []place
	for _, limit := range limits {
		var st unix.Stat_t
		if err := unix.Stat(limit, &st); err == nil { // links are followed
			wanted = append(wanted, place{st.Dev, st.Ino})
		} else if !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
	for {
		var here, above unix.Stat_t
		if err := unix.Fstat(at, &here); err != nil {
			t.Fatal(err)
		}
		if slices.Contains(wanted, place{here.Dev, here.Ino}) {
			return true
		}
		up, err := unix.Openat(at, "..", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		unix.Close(at)
		at = up
		if err := unix.Fstat(at, &above); err != nil {
			t.Fatal(err)
		}
		if above.Dev == here.Dev && above.Ino == here.Ino {
			return false
		}
	}
}

// Every directory and link of a small tree, as a root and as a volume, under
// every other as a ceiling: what passes is there by the kernel's own account,
// and what is there, and says so by its name, passes.
func TestCeilingByTheKernelsAccount(t *testing.T) {
	kerneltest.Root(t) // symbolic links must be root's to be followed
	base, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	task := base + "/b/a"
	var paths []string
	for _, x := range []string{"a", "b", "ab"} {
		paths = append(paths, base+"/"+x)
		for _, y := range []string{"a", "b"} {
			paths = append(paths, base+"/"+x+"/"+y)
			if err := os.MkdirAll(base+"/"+x+"/"+y+"/c", 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	for link, target := range map[string]string{
		"/a/out": "../b/b", "/a/up": "..", "/a/same": "a", "/a/chain": "same", "/a/own": task, "/ab/abs": base + "/a/a", "/toa": "a", "/a/dead": "none",
		"/b/a/out": "../../a", "/b/a/in": "c",
	} {
		if err := os.Symlink(target, base+link); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, base+link, base+link+"/c")
	}
	requests := append(slices.Clone(paths), base+"/a/../ab/a", base+"/a/up/../b", base+"/a/out/../a", task+"/../b", task+"/out/../in", "in", "out", "c")
	ceilings := [][]string{nil, {}, {base + "/new"}, {base + "/new", base + "/a/../ab"}}
	for _, path := range paths {
		ceilings = append(ceilings, []string{path})
	}
	own := []string{task}
	var passed, exceed int
	for _, limit := range ceilings {
		ceiling := &Policy{WorkspaceRoots: limit}
		for _, wanted := range requests {
			request := &Policy{WorkspaceRoots: []string{wanted}}
			var roots Roots
			effective, err := Intersect(Named(ceiling), request, own)
			if err == nil {
				roots, err = Resolve(effective, task, own)
			}
			if err == nil {
				err = CheckCeiling(ceiling, roots, own)
			}
			place, realErr := filepath.EvalSymlinks(wanted)
			named := limit == nil || !filepath.IsAbs(wanted)
			for _, root := range slices.Concat(limit, own) {
				target, targetErr := filepath.EvalSymlinks(root)
				for _, name := range []string{filepath.Clean(root), target} {
					if targetErr != nil {
						name = filepath.Clean(root)
					}
					clean := filepath.Clean(wanted)
					named = named || clean == name || strings.HasPrefix(clean, name+"/")
				}
			}
			switch {
			case err == nil:
				passed++
				if limit != nil && !climbs(t, roots.Workspace[0], slices.Concat(limit, own)) {
					t.Errorf("%s passed the ceiling %v as %s, which is not in it", wanted, limit, roots.Workspace[0])
				}
			case strings.Contains(err.Error(), "exceed"):
				exceed++
				if realErr == nil && filepath.IsAbs(wanted) && !strings.Contains(wanted, "..") && named && climbs(t, place, slices.Concat(limit, own)) {
					t.Errorf("%s is in the ceiling %v: %v", wanted, limit, err)
				}
			}
			// A volume has no name of the job's: it counts where it is.
			if realErr != nil || !filepath.IsAbs(wanted) || strings.Contains(wanted, "..") {
				continue
			}
			source, err := RealPath(wanted)
			if err != nil {
				t.Fatal(err)
			}
			in := limit == nil || climbs(t, source, slices.Concat(limit, own))
			if err := CheckVolume(ceiling, source, false, own); (err == nil) != in {
				t.Errorf("volume %s (%s) under %v: %v, want it in: %v", wanted, source, limit, err, in)
			}
			if err := CheckVolume(&Policy{ReadOnlyRoots: limit}, source, true, own); (err == nil) != in {
				t.Errorf("read-only volume %s (%s) under %v: %v, want it in: %v", wanted, source, limit, err, in)
			}
		}
	}
	t.Logf("%d roots passed, %d exceeded the ceiling", passed, exceed)
	if passed == 0 || exceed == 0 {
		t.Error("the test shows nothing")
	}
}
